"""Chunks of audio, and their tokens and frames put together again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.whisper.tokenization_whisper import _find_longest_common_sequence
from transformers.pipelines.automatic_speech_recognition import chunk_iter, rescale_stride

from headway.runtime.audio.chunks import Chunking, frames_kept
from headway.runtime.audio.merging import append_overlapping, merge_overlapping
from headway.runtime.errors import OptionError

TOKENS = st.lists(st.integers(0, 4), min_size=1, max_size=8)


@given(st.lists(TOKENS, min_size=1, max_size=4))
def test_tokens_meet_where_transformers_lets_them(sequences):
    assert merge_overlapping(sequences)[0] == [int(token) for token in _find_longest_common_sequence(sequences)]


@given(st.lists(TOKENS, min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_times_meet_where_transformers_lets_them(sequences, random):
    times = [[(random.random(), random.random()) for _ in sequence] for sequence in sequences]
    tokens, token_times = merge_overlapping(sequences, times)
    expected_tokens, expected_times = _find_longest_common_sequence(sequences, times)
    assert (tokens, token_times) == ([int(token) for token in expected_tokens], expected_times)


def test_what_repeats_is_appended_once():
    assert append_overlapping([[1, 2, 3, 4], [3, 4, 5], [9]]) == [1, 2, 3, 4, 5, 9]


class Recording:
    """A feature extractor that gives back what it gets."""

    sampling_rate = 16000

    def __call__(self, chunk, **options):
        return {"chunk": torch.tensor(chunk)}


@pytest.mark.parametrize(("length", "left", "right"), [(100, 20, 10), (100, 0, 0), (64, 30, 30)])
@pytest.mark.parametrize("total", [1, 64, 99, 100, 101, 170, 1000])
def test_chunks_are_transformers(length, left, right, total):
    wave = np.arange(total, dtype=np.float32)
    expected = list(chunk_iter(wave, Recording(), length, left, right))
    chunks = Chunking(length, left, right).cut(wave)
    assert [chunk.stride for chunk in chunks] == [item["stride"] for item in expected]
    assert [chunk.waveform.tolist() for chunk in chunks] == [item["chunk"].tolist() for item in expected]
    for chunk in chunks:
        frames, first, last = rescale_stride([chunk.stride], 1 / 20)[0]
        assert frames_kept(chunk.stride, 20) == slice(first, frames - last)


@pytest.mark.parametrize(("length", "stride"), [(1.0, 0.5), (1.0, (0.2, 0.9)), (1.0, (-1.0, 0.1)), (1.0, [0.1])])
def test_overlaps_that_leave_nothing(length, stride):
    with pytest.raises(OptionError, match="stride_length_s"):
        Chunking.of(length, stride, 16000)
