"""Streamers: what comes out, in which thread, and what happens when either side leaves."""

from __future__ import annotations

import queue
import threading
import time

import numpy as np
import pytest
import torch
import transformers

from headway.runtime.errors import InputError
from headway.runtime.generation.streamers import TextIteratorStreamer, TextStreamer, stream_in_background

WORDS = ["one", " two", " three", " é", " END", "."]


class Words:
    """A tokenizer of six words."""

    def decode(self, ids, **options):
        return "".join(WORDS[token] for token in ids)


def test_standard_output(capsys):
    streamer = TextStreamer(Words(), skip_prompt=True)
    streamer.put(np.array([[5, 5]]))
    for token in (0, 1, 3):
        streamer.put(np.array([token]))
    assert capsys.readouterr().out == "one two é"
    streamer.end()
    assert capsys.readouterr().out == "\n"


def test_prompt_is_part_of_the_text_unless_skipped():
    pieces = []
    streamer = TextStreamer(Words(), callback=pieces.append)
    for _ in range(2):  # a streamer can be used for one generation after another
        streamer.put(np.array([[0, 1]]))
        streamer.put(np.array([2]))
        streamer.end()
    assert pieces == ["one", " two", " three"] * 2


def test_stop_strings_do_not_come_out():
    pieces = []
    streamer = TextStreamer(Words(), callback=pieces.append, stop_strings=["END", "two three!"])
    for token in (0, 1, 2, 4, 5):
        streamer.put(np.array([token]))
    streamer.end()
    assert "".join(pieces) == "one two three "


def test_a_stop_string_in_the_prompt_ends_nothing():
    pieces = []
    streamer = TextStreamer(Words(), callback=pieces.append, stop_strings=["END"])
    streamer.put(np.array([[0, 4, 1]]))
    for token in (2, 4, 5):
        streamer.put(np.array([token]))
    streamer.end()
    assert "".join(pieces) == "one END two three "


def test_one_sequence_only():
    with pytest.raises(InputError, match="follows one sequence; got 2"):
        TextStreamer(Words()).put(np.zeros((2, 3), dtype=int))


def test_same_text_as_transformers(smollm2_checkpoint):
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2_checkpoint)
    ids = tokenizer.encode("Hello there,\nthe 東京 tower — naïve 😀 text\n\nends here.")
    expected = transformers.TextIteratorStreamer(tokenizer, skip_special_tokens=True)
    ours = TextIteratorStreamer(tokenizer, skip_special_tokens=True)
    for token in ids:
        expected.put(torch.tensor([token]))
        ours.put(np.array([token]))
    expected.end()
    ours.end()
    assert "".join(ours) == "".join(expected)


def run_tokens(tokens, delay_s=0.0):
    def run(streamer):
        streamer.put(np.array([[5]]))
        for token in tokens:
            if streamer.is_closed:
                run.stopped_early = True
                return
            streamer.put(np.array([token]))
            time.sleep(delay_s)
        streamer.end()

    run.stopped_early = False
    return run


def test_text_of_a_background_thread():
    streamer = TextIteratorStreamer(Words(), skip_prompt=True)
    assert list(stream_in_background(run_tokens([0, 1, 2]), streamer)) == ["one", " two", " three"]
    assert list(streamer) == []


def test_leaving_early_stops_the_generation():
    run = run_tokens([0] * 10_000, delay_s=0.001)
    before = threading.active_count()
    pieces = stream_in_background(run, TextIteratorStreamer(Words()))
    assert next(pieces) == "."
    pieces.close()
    assert run.stopped_early
    assert threading.active_count() == before


def test_an_error_of_the_generation_reaches_the_reader():
    def run(streamer):
        streamer.put(np.array([0]))
        raise InputError("broken")

    pieces = stream_in_background(run, TextIteratorStreamer(Words()))
    assert next(pieces) == "one"
    with pytest.raises(InputError, match="broken"):
        next(pieces)


def test_a_slow_generation_times_out():
    streamer = TextIteratorStreamer(Words(), timeout=0.01)
    with pytest.raises(queue.Empty):
        next(streamer)


def test_as_a_context_manager():
    with TextIteratorStreamer(Words()) as streamer:
        streamer.put(np.array([0]))
        assert next(streamer) == "one"
    assert streamer.is_closed
    streamer.put(np.array([1]))
    assert list(streamer) == []
