"""The batcher alone: requests that share batches get what each gets alone."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headway.runtime import pipeline
from headway.runtime.errors import HeadwayError, InputTooLongError, InputTypeError, OptionError
from headway.runtime.server.faults import BusyError, UnavailableError, WorkerDiedError
from headway.runtime.server.heads.batcher import HeadBatcher, HeadResult, Job
from headway.runtime.server.settings import HeadSettings

WORDS = ["good", "bad", "film", "the", "a", "is", "not", "very", "was"]


class Clients:
    """A batcher, and what it delivered."""

    def __init__(self, **settings: Any) -> None:
        self.rounds: list[tuple[int, int]] = []
        self.batcher = HeadBatcher(HeadSettings(**settings), "tiny", lambda *counts: self.rounds.append(counts))
        self.delivered: queue.SimpleQueue[tuple[Job, HeadResult | HeadwayError]] = queue.SimpleQueue()

    def submit(self, head: Any = None, items: Any = (), call: Any = None, **options: Any) -> Job:
        job = Job(self.deliver, lambda outcome: None, pipeline=head, items=items, options=options, call=call)
        self.batcher.submit(job)
        return job

    def deliver(self, outcomes: Any) -> None:
        for outcome in outcomes:
            self.delivered.put(outcome)

    def outcomes(self, count: int) -> dict[Job, HeadResult | HeadwayError]:
        return dict(self.delivered.get(timeout=30) for _ in range(count))

    def result(self) -> Any:
        (outcome,) = self.outcomes(1).values()
        if isinstance(outcome, HeadwayError):
            raise outcome
        return outcome.results

    def hold(self) -> threading.Event:
        """Keep the thread busy until the event is set, so that requests gather."""
        begun, free = threading.Event(), threading.Event()
        self.submit(call=lambda: (begun.set(), free.wait(30)))
        assert begun.wait(30)
        return free


@pytest.fixture
def clients() -> Iterator[type[Clients]]:
    started: list[Clients] = []

    def begin(**settings: Any) -> Clients:
        started.append(Clients(**settings))
        return started[-1]

    yield begin
    for some in started:
        some.batcher.close(10)


def texts_of(count: int, seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, generator.integers(1, 10))) for _ in range(count)]


HEADS = {
    "embed": ("embedder", {"normalize_embeddings": True}),
    "feature-extraction": ("embedder", {}),
    "text-classification": ("classifier", {"top_k": None}),
    "token-classification": ("tagger", {"ignore_labels": []}),
}


@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("max_round_tokens", [12, 4096])
def test_requests_that_share_batches_get_what_each_gets_alone(
    clients, head_folders: dict[str, Path], task: str, max_round_tokens: int
) -> None:
    name, options = HEADS[task]
    head = pipeline(task, model=head_folders[name], num_threads=1)
    some = clients(max_round_tokens=max_round_tokens)
    free = some.hold()
    requests = [texts_of(count, seed) for seed, count in enumerate([1, 7, 2, 1, 30, 3])]
    jobs = [some.submit(head, texts, **options) for texts in requests]
    free.set()
    outcomes = some.outcomes(len(jobs) + 1)
    for job, texts in zip(jobs, requests, strict=True):
        for text, result in zip(texts, outcomes[job].results, strict=True):
            (alone,) = head([text], **options)
            assert_same(result, alone)
    if max_round_tokens == 4096:
        # One round held them all.
        assert some.rounds == [(44, sum(outcomes[job].num_tokens for job in jobs))]


def assert_same(result: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert result.keys() == expected.keys()
        for key, value in expected.items():
            assert_same(result[key], value)
    elif isinstance(expected, str):
        assert result == expected
    elif isinstance(expected, list) and expected and isinstance(expected[0], dict | list):
        assert len(result) == len(expected)
        for one, other in zip(result, expected, strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_allclose(result, expected, atol=1e-6)


def test_requests_that_ask_for_the_same_are_completed_as_one(
    clients, head_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    head = pipeline("text-classification", model=head_folders["classifier"], num_threads=1)
    completed: list[int] = []
    complete = head.complete
    monkeypatch.setattr(
        head, "complete", lambda prepared, *rest: completed.append(len(prepared)) or complete(prepared, *rest)
    )
    some = clients()
    for options, counts in (([{}, {}, {}], [3]), ([{}, {"top_k": None}, {}], [1, 1, 1])):
        completed.clear()
        free = some.hold()
        jobs = [some.submit(head, ["good film"], **each) for each in options]
        free.set()
        outcomes = some.outcomes(4)
        assert completed == counts
        for job, each in zip(jobs, options, strict=True):
            assert_same(outcomes[job].results, head(["good film"], **each))


def test_short_requests_are_tokenized_in_one_call(
    clients, head_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that differ in their texts alone; what is wrong with one of them is said to that one."""
    head = pipeline("embed", model=head_folders["embedder"], num_threads=1)
    prepared: list[list[Any]] = []
    prepare = head.prepare
    monkeypatch.setattr(head, "prepare", lambda window, *rest: prepared.append(window.items) or prepare(window, *rest))
    options = [{}] * 3 + [{"normalize_embeddings": True}] * 2 + [{}]
    for texts, calls in (
        (["good", "bad film", "a", "the film", "is", "very bad"], [3, 2, 1]),
        (["good", "good " * 40, "a", "the film", "is", "very bad"], [3, 1, 1, 1, 2, 1]),
        (["good", "good " * 900, "a", "the film", "is", "very bad"], [1, 1, 1, 2, 1]),
    ):
        prepared.clear()
        some = clients()
        free = some.hold()
        jobs = [
            some.submit(head, [text], truncation="error", **each) for text, each in zip(texts, options, strict=True)
        ]
        free.set()
        outcomes = some.outcomes(7)
        assert [len(items) for items in prepared] == calls
        for job, text, each in zip(jobs, texts, options, strict=True):
            if len(text) > 100:
                assert isinstance(outcomes[job], InputTooLongError)
                assert str(outcomes[job]).startswith("The input has ")
            else:
                assert_same(outcomes[job].results, head([text], **each))


def test_one_out_of_step_waits_for_the_crowd_and_a_lone_client_for_nobody(clients, head_folders) -> None:
    head = pipeline("embed", model=head_folders["embedder"], num_threads=1)
    some = clients(max_wait_s=30)
    some.submit(head, ["good"])
    some.outcomes(1)
    some.batcher._wait.record(8, round_s=90)
    some.submit(head, ["good"])
    with pytest.raises(queue.Empty):
        some.delivered.get(timeout=0.05)
    for _ in range(7):
        some.submit(head, ["good"])
    some.outcomes(8)
    assert [rows for rows, _ in some.rounds] == [1, 8]


def test_a_tokenizer_that_breaks_down_loses_nobody(clients, head_folders: dict[str, Path], monkeypatch) -> None:
    head = pipeline("embed", model=head_folders["embedder"], num_threads=1)
    prepare = head.prepare

    def break_down(window: Any, *rest: Any) -> Any:
        if "bad" in window.items:
            raise MemoryError
        return prepare(window, *rest)

    monkeypatch.setattr(head, "prepare", break_down)
    some = clients()
    free = some.hold()
    jobs = [some.submit(head, [text]) for text in ("good", "bad", "film")]
    free.set()
    outcomes = some.outcomes(4)
    assert [type(outcomes[job]) for job in jobs] == [HeadResult, WorkerDiedError, HeadResult]


def test_an_option_that_fails_late_is_said_to_each(clients, head_folders: dict[str, Path], monkeypatch) -> None:
    head = pipeline("embed", model=head_folders["embedder"], num_threads=1)

    def complete(*arguments: Any) -> Any:
        raise OptionError("not with this model")

    monkeypatch.setattr(head, "complete", complete)
    some = clients()
    free = some.hold()
    jobs = [some.submit(head, ["good"]) for _ in range(2)]
    free.set()
    outcomes = some.outcomes(3)
    assert [type(outcomes[job]) for job in jobs] == [OptionError] * 2
    assert some.batcher.num_deaths == 0


def test_pairs_and_documents(clients, head_folders: dict[str, Path]) -> None:
    head = pipeline("rerank", model=head_folders["judge"], num_threads=1)
    some = clients()
    free = some.hold()
    items = [{"query": "good film", "documents": texts_of(count, count)} for count in (3, 1, 5)]
    jobs = [some.submit(head, [item]) for item in items]
    free.set()
    outcomes = some.outcomes(4)
    for job, item in zip(jobs, items, strict=True):
        assert_same(outcomes[job].results[0], head(item))


def test_an_error_is_its_own_request_s_alone(clients, head_folders: dict[str, Path]) -> None:
    head = pipeline("text-classification", model=head_folders["classifier"], num_threads=1)
    some = clients()
    free = some.hold()
    good = some.submit(head, ["good film"])
    bad = {
        some.submit(head, ["good", 7]): InputTypeError,
        some.submit(head, ["good " * 40]): InputTooLongError,
        some.submit(head, ["good"], no_such_option=1): OptionError,
        some.submit(head, ["good"], top_k="many"): OptionError,
    }
    free.set()
    outcomes = some.outcomes(6)
    for job, kind in bad.items():
        assert type(outcomes[job]) is kind
    assert outcomes[good].results == [head("good film")[0]]


def test_a_small_request_overtakes_a_large_one(clients, head_folders: dict[str, Path]) -> None:
    head = pipeline("embed", model=head_folders["embedder"], num_threads=1)
    some = clients(max_round_tokens=64)
    free = some.hold()
    large = some.submit(head, texts_of(400, 0))
    small = some.submit(head, ["good"])
    free.set()
    some.delivered.get(timeout=30)
    assert [some.delivered.get(timeout=30)[0] for _ in range(2)] == [small, large]


def test_a_breakdown_is_answered_and_survived(clients, head_folders: dict[str, Path], monkeypatch) -> None:
    head = pipeline("embed", model=head_folders["embedder"], num_threads=1)
    some = clients()
    failures = iter([True, True])

    def run_batch(*arguments: Any) -> Any:
        if next(failures, False):
            raise RuntimeError("broken")
        return original(*arguments)

    original = head.runner.run_batch
    monkeypatch.setattr(head.runner, "run_batch", run_batch)
    some.submit(head, ["good"])
    with pytest.raises(WorkerDiedError):
        some.result()
    free = some.hold()
    jobs = [some.submit(head, ["good"]) for _ in range(3)]
    free.set()
    outcomes = some.outcomes(4)
    assert all(isinstance(outcomes[job], WorkerDiedError) for job in jobs)
    some.submit(head, ["good"])
    assert some.result().shape == (1, 8)
    assert some.batcher.num_deaths == 2


def test_a_full_queue_refuses(clients, head_folders: dict[str, Path]) -> None:
    head = pipeline("embed", model=head_folders["embedder"], num_threads=1)
    some = clients(max_waiting=2)
    free = some.hold()
    for _ in range(2):
        some.submit(head, ["good"])
    with pytest.raises(BusyError):
        some.submit(head, ["good"])
    free.set()
    assert all(isinstance(outcome, HeadResult) for outcome in some.outcomes(3).values())


def test_who_has_left_is_not_run(clients, head_folders: dict[str, Path]) -> None:
    head = pipeline("embed", model=head_folders["embedder"], num_threads=1)
    some = clients()
    free = some.hold()
    some.submit(head, texts_of(300, 0)).cancel()
    some.submit(head, ["good"])
    free.set()
    some.outcomes(2)
    assert [rows for rows, _ in some.rounds] == [1]


def test_closing_finishes_what_was_accepted(clients, head_folders: dict[str, Path]) -> None:
    head = pipeline("embed", model=head_folders["embedder"], num_threads=1)
    some = clients(max_round_tokens=16)
    free = some.hold()
    for seed in range(5):
        some.submit(head, texts_of(9, seed))
    threading.Timer(0.05, free.set).start()
    some.batcher.close(30)
    assert all(isinstance(outcome, HeadResult) for outcome in some.outcomes(6).values())
    with pytest.raises(UnavailableError):
        some.submit(head, ["good"])
