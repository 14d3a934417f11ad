"""Batches cut into runs of rows: the same outputs, whatever the plan."""

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.runtime.artifact import TensorSpec
from headway.runtime.batch_runs import BatchRuns, RunPlan, has_independent_rows, plan_for
from headway.runtime.errors import InputError
from headway.runtime.session import Session, SessionOptions

IDS = TensorSpec("input_ids", "int64", ("batch_size", "sequence_length"))
PIXELS = TensorSpec("pixel_values", "float32", ("batch_size", 3, 4, 4))
LOGITS = TensorSpec("logits", "float32", ("batch_size", 2))


class Recorder:
    """Doubles the main input, and notes the rows of each run and the thread it ran on."""

    def __init__(self, plans, spec=IDS):
        self.rows, self.threads, self.spec = [], set(), spec
        self.runs = BatchRuns(plans, [spec], self.run, self.run)

    def run(self, feeds, output_names):
        self.rows.append(len(feeds[self.spec.name]))
        self.threads.add(threading.current_thread().name)
        return [feeds[self.spec.name] * 2]

    def __call__(self, array):
        (output,) = self.runs.run({self.spec.name: array}, ["doubled"])
        np.testing.assert_array_equal(output, array * 2)
        return self.rows


def ids(rows, length):
    return np.arange(rows * length).reshape(rows, length)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (RunPlan(), [8]),
        (RunPlan(run_tokens=64), [4, 4]),
        (RunPlan(run_tokens=40), [2, 2, 2, 2]),
        (RunPlan(run_tokens=1), [1] * 8),
        (RunPlan(from_tokens=129, run_tokens=1), [8]),
        (RunPlan(num_streams=3), [2, 3, 3]),
        (RunPlan(run_tokens=32, num_streams=2), [2, 2, 2, 2]),
    ],
    ids=str,
)
def test_how_eight_rows_of_sixteen_tokens_are_cut(plan, expected):
    assert sorted(Recorder([plan])(ids(8, 16))) == expected


def test_streams_run_at_the_same_time_and_the_caller_is_one_of_them():
    recorder, barrier = Recorder([RunPlan(num_streams=2)]), threading.Barrier(2)
    plain = recorder.runs._run_alone
    recorder.runs._run_alone = lambda feeds, names: (barrier.wait(timeout=10), plain(feeds, names))[1]
    recorder(ids(4, 3))
    assert len(recorder.threads) == 2
    assert threading.current_thread().name in recorder.threads


def test_rows_count_where_there_is_no_sequence():
    assert Recorder([RunPlan(run_tokens=2)], PIXELS)(np.zeros((5, 3, 4, 4))) == [1, 2, 2]


def test_a_single_row_is_never_cut():
    assert Recorder([RunPlan(run_tokens=1, num_streams=4)])(ids(1, 512)) == [1]


@given(
    rows=st.integers(1, 9),
    length=st.integers(1, 5),
    run_tokens=st.none() | st.integers(1, 50),
    num_streams=st.integers(1, 4),
)
def test_every_row_runs_once_in_its_place(rows, length, run_tokens, num_streams):
    assert sum(Recorder([RunPlan(0, run_tokens, num_streams)])(ids(rows, length))) == rows


def test_the_plan_of_the_largest_size_reached_counts():
    plans = [RunPlan(512, 256), RunPlan(), RunPlan(2048, 512, 2)]
    assert [plan_for(tokens, plans).run_tokens for tokens in (1, 511, 512, 2047, 2048)] == [None, None, 256, 256, 512]


def test_rows_that_depend_on_each_other_are_left_together():
    other = TensorSpec("texts", "int64", ("text_batch_size", "sequence_length"))
    fixed = TensorSpec("logits", "float32", (2, 2))
    assert has_independent_rows([IDS], [LOGITS])
    assert not has_independent_rows([IDS, other], [LOGITS])
    assert not has_independent_rows([IDS], [fixed])
    assert not has_independent_rows([TensorSpec("scale", "float32", ())], [LOGITS])


@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_session_answers_the_same_by_plan(classifier: Path, num_threads):
    path = classifier / "onnx" / "model.onnx"
    feeds = {"input_ids": ids(7, 2) % 15, "attention_mask": np.ones((7, 2), np.int64)}
    whole = Session(path, options=SessionOptions("cpu", num_threads=num_threads))
    plans = (RunPlan(0, 4), RunPlan(14, 4, 2))
    parts = Session(path, options=SessionOptions("cpu", num_threads=num_threads, runs=plans))
    np.testing.assert_array_equal(parts.run(feeds)[0], whole.run(feeds)[0])
    assert (parts._twin is None) == (num_threads == 1)


def test_what_a_stream_refuses_reaches_the_caller(classifier: Path):
    session = Session(
        classifier / "onnx" / "model.onnx", options=SessionOptions("cpu", num_threads=2, runs=(RunPlan(0, 1, 2),))
    )
    feeds = {"input_ids": np.full((4, 2), 99), "attention_mask": np.ones((4, 2), np.int64)}
    with pytest.raises(InputError, match="could not run the graph"):
        session.run(feeds)
