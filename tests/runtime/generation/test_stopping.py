"""Stopping criteria, one by one and together."""

from __future__ import annotations

import time

import numpy as np
import pytest

from headway.runtime.errors import InputError, OptionError
from headway.runtime.generation.config import GenerationConfig
from headway.runtime.generation.config_resolve import resolve_config, resolve_lengths
from headway.runtime.generation.history import TokenHistory
from headway.runtime.generation.stopping import build_stopping, max_time_criterion


def stopping(custom=(), *, streamer=None, token_text=None, **options):
    config = resolve_lengths(resolve_config(GenerationConfig(), **options), 2)
    return build_stopping(config, custom=custom, streamer=streamer, token_text=token_text)


def history(*columns):
    result = TokenHistory.from_prompts([[5, 6], [7, 8], [9, 9]])
    for column in columns:
        result.append(column)
    return result


def test_end_of_sequence_is_per_row_and_any_of_several():
    stop = stopping(eos_token_id=[3, 4])
    assert stop(history([3, 1, 4])).tolist() == [True, False, True]
    assert stopping(eos_token_id=3)(history([3, 1, 4])).tolist() == [True, False, False]
    assert stopping()(history([3, 1, 4])).tolist() == [False] * 3


def test_an_end_in_the_prompt_does_not_count():
    assert stopping(eos_token_id=6)(history([1, 1, 1])).tolist() == [False] * 3


def test_length_and_end_at_the_same_token_are_one_end():
    """No exclusive or: a row that meets two criteria at once is done, and no token follows."""
    stop = stopping(eos_token_id=3, max_new_tokens=1)
    assert stop(history([3, 1, 1])).tolist() == [True] * 3


def test_length_counts_the_prompt_for_max_length_only():
    assert stopping(max_length=4)(history([1] * 3)).tolist() == [False] * 3
    assert stopping(max_length=4)(history([1] * 3, [1] * 3)).tolist() == [True] * 3
    assert stopping(max_new_tokens=3)(history([1] * 3, [1] * 3)).tolist() == [False] * 3


def test_time():
    criterion = max_time_criterion(10.0, start_time_s=time.monotonic() - 11)
    assert criterion(history(), None) is True
    assert max_time_criterion(10.0)(history(), None) is False
    assert stopping(max_time=0.0)(history([1] * 3)).tolist() == [True] * 3


def test_stop_strings_need_a_tokenizer():
    with pytest.raises(OptionError, match="pass tokenizer="):
        stopping(stop_strings="x")
    assert not stopping(stop_strings=[])(history([1] * 3)).any()
    stop = stopping(stop_strings="x", token_text=lambda token: b"x" if token == 2 else b"y")
    assert stop(history([2, 1, 2])).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (True, [True] * 3),
        (np.array([True, False, True]), [True, False, True]),
        (np.array([[True], [False], [True]]), [True, False, True]),
        ([False, False, True], [False, False, True]),
    ],
)
def test_custom_criteria(verdict, expected):
    assert stopping([lambda ids, scores: verdict])(history([1] * 3)).tolist() == expected


def test_custom_criteria_get_what_transformers_gives():
    seen = []
    scores = (np.zeros((3, 4), dtype=np.float32),)
    stopping([lambda *arguments: bool(seen.append(arguments))])(history([1, 2, 3]), scores)
    ids, got_scores = seen[0]
    assert ids.tolist() == [[5, 6, 1], [7, 8, 2], [9, 9, 3]]
    assert got_scores is scores


@pytest.mark.parametrize("verdict", [None, 1, [True, False], "yes", np.zeros(3)])
def test_custom_criteria_that_return_something_else(verdict):
    with pytest.raises(InputError, match="it returns a bool, or 3 bools"):
        stopping([lambda ids, scores: verdict])(history([1] * 3))


def test_a_closed_streamer_ends_all_rows():
    class Streamer:
        is_closed = False

    streamer = Streamer()
    stop = stopping(streamer=streamer)
    assert not stop(history([1] * 3)).any()
    streamer.is_closed = True
    assert stop(history([1] * 3)).all()
    assert not stopping(streamer=object())(history([1] * 3)).any()
