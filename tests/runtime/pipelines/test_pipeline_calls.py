"""What every pipeline does with lists, streams, threads and long inputs."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from pipeline_parity import assert_same_result
from tiny_heads import Heads

from headway.runtime.errors import InputError, InputTypeError
from headway.runtime.pipelines.encode import CutLog, LengthPolicy

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "hello", "world", "how", "are", "you", "was"]
TEXTS = [" ".join(WORDS[place % 14 : place % 14 + 1 + place % 9]) for place in range(700)]


def test_many_texts_answer_as_alone(heads: Heads) -> None:
    classify = heads("nli").pipeline(top_k=None)
    together = classify(TEXTS)
    assert len(together) == len(TEXTS)
    for place in range(0, 700, 97):
        assert_same_result(classify(TEXTS[place])[0], together[place], tolerance=1e-5)


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 7}, {"max_batch_tokens": 40}])
def test_batches_of_any_size_answer_the_same(heads: Heads, options: dict[str, int]) -> None:
    classify = heads("nli").pipeline(top_k=None)
    assert_same_result(classify(TEXTS[:60]), classify(TEXTS[:60], **options), tolerance=1e-5)


def test_a_stream_is_lazy_and_bounded(heads: Heads) -> None:
    taken = []

    def source() -> Iterator[str]:
        for text in TEXTS * 10:
            taken.append(text)
            yield text

    results = heads("nli").pipeline().stream(source())
    assert taken == []
    next(results)
    assert 0 < len(taken) <= 256 + 2048
    assert sum(1 for _ in results) == len(TEXTS) * 10 - 1


def test_a_stream_numbers_its_items(heads: Heads) -> None:
    results = heads("nli").pipeline().stream([*TEXTS[:300], None, "end"])
    with pytest.raises(InputTypeError, match="Input 300 is None"):
        list(results)


def test_results_before_a_bad_window_are_yielded(heads: Heads) -> None:
    results = heads("nli").pipeline().stream([*TEXTS[:256], "\ud800"])
    assert [next(results) for _ in range(256)] == heads("nli").pipeline()(TEXTS[:256])
    with pytest.raises(InputError, match="Input 256 cannot be used"):
        next(results)


@pytest.mark.parametrize("inputs", ["a text", b"bytes", None, {"text": "a"}, 4])
def test_a_stream_of_one_text_is_refused(heads: Heads, inputs: Any) -> None:
    with pytest.raises(InputTypeError, match="an iterable of inputs is needed"):
        heads("nli").pipeline().stream(inputs)


def test_arrays_and_tuples_of_texts_are_lists(heads: Heads) -> None:
    classify = heads("nli").pipeline()
    assert classify(np.array(["a", "b c", "d"])) == classify(("a", "b c", "d")) == classify(["a", "b c", "d"])


def test_calls_from_threads(heads: Heads) -> None:
    classify = heads("nli").pipeline()
    expected = [classify(TEXTS[place : place + 20]) for place in range(0, 200, 20)]
    with ThreadPoolExecutor(4) as pool:
        actual = list(pool.map(lambda place: classify(TEXTS[place : place + 20]), range(0, 200, 20)))
    assert_same_result(expected, actual, tolerance=1e-6)


def test_a_cut_over_many_windows_is_logged_once(heads: Heads, caplog: pytest.LogCaptureFixture) -> None:
    texts = [*TEXTS[:400], "fox " * 100] * 2
    heads("nli").pipeline(truncation="warn")(texts)
    assert [record.getMessage().split(" over")[0] for record in caplog.records] == ["2 texts were"]


def test_texts_are_not_logged(heads: Heads, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        heads("nli").pipeline(truncation="warn")(["secret " * 100])
    assert "secret" not in caplog.text


def test_progress_on_stderr(heads: Heads, capsys: pytest.CaptureFixture[str]) -> None:
    heads("nli").pipeline()(TEXTS[:300], show_progress=True)
    captured = capsys.readouterr()
    assert "300/300" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("truncation", "max_length", "expected"),
    [
        (None, None, LengthPolicy(64, "error")),
        (None, 9, LengthPolicy(9, "warn")),
        (None, 99, LengthPolicy(64, "warn")),
        (True, None, LengthPolicy(64, "cut")),
        (False, 9, LengthPolicy(9, "error")),
        ("error", None, LengthPolicy(64, "error")),
        ("warn", None, LengthPolicy(64, "warn")),
        ("only_first", 9, LengthPolicy(9, "cut", "only_first")),
        ("do_not_truncate", None, LengthPolicy(64, "error")),
    ],
)
def test_length_policies(truncation: Any, max_length: int | None, expected: LengthPolicy) -> None:
    assert LengthPolicy.resolve(64, truncation, max_length, "error") == expected
    assert LengthPolicy.resolve(None, truncation, None, "error").limit is None


def test_nothing_cut_is_nothing_logged(caplog: pytest.LogCaptureFixture) -> None:
    cuts = CutLog()
    cuts.report()
    cuts.add(np.array([70, 90]), 64)
    cuts.report()
    cuts.report()
    assert len(caplog.records) == 1
    assert "2 texts were over the limit of 64 tokens (the longest has 90)" in caplog.text
