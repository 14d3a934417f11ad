"""Tokens of chunks that overlap in time, joined where they agree best.

Source: transformers 5.23, models/whisper/tokenization_whisper.py and pipelines/automatic_speech_recognition.py
(`_find_longest_common_sequence`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# So much a longer overlap counts beyond the fraction of it that agrees.
_LENGTH_BONUS = 1e-4

Times = Sequence[tuple[float, float]]


def merge_overlapping(
    sequences: Sequence[Sequence[int]], times: Sequence[Times] | None = None
) -> tuple[list[int], list[tuple[float, float]]]:
    """One sequence of several, each of which may begin with what the one before ends with.

    Of what overlaps, the first half is taken from the left and the second half from the right.

    Args:
        sequences: token ids of each chunk.
        times: begin and end of each token, split alike; tokens match only where these are in order.
    """
    left, merged = list(sequences[0]), []
    left_times, merged_times = list(times[0]) if times else [], []
    for index, sequence in enumerate(sequences[1:], start=1):
        right, right_times = list(sequence), list(times[index]) if times else []
        left_end, right_start = _meeting_point(left, right, left_times, right_times)
        merged += left[:left_end]
        merged_times += left_times[:left_end]
        left, left_times = right[right_start:], right_times[right_start:]
    return merged + left, merged_times + left_times


def _meeting_point(left: list[int], right: list[int], left_times: Times, right_times: Times) -> tuple[int, int]:
    """Where the left sequence is left, and the right one entered."""
    best, left_slice, right_slice = 0.0, (len(left), len(left)), (0, 0)
    left_ids, right_ids = np.array(left), np.array(right)
    for shift in range(1, len(left) + len(right)):
        starts = max(0, len(left) - shift), max(0, shift - len(left))
        ends = min(len(left), len(left) + len(right) - shift), min(len(right), shift)
        equal = left_ids[starts[0] : ends[0]] == right_ids[starts[1] : ends[1]]
        if left_times:
            pairs = zip(left_times[starts[0] : ends[0]], right_times[starts[1] : ends[1]], strict=True)
            equal = equal & np.array([earlier <= later for earlier, later in pairs], dtype=bool)
        num_equal = int(np.count_nonzero(equal))
        matching = num_equal / shift + shift * _LENGTH_BONUS
        if num_equal > 1 and matching > best:
            best, left_slice, right_slice = matching, (starts[0], ends[0]), (starts[1], ends[1])
    return sum(left_slice) // 2, sum(right_slice) // 2


def append_overlapping(sequences: Sequence[Sequence[int]]) -> list[int]:
    """One sequence of several: each is appended without the beginning that repeats the end of what is there.

    transformers 5.23 has this, too, but never comes to it: its pipeline drops the strides, and repeats the overlaps.
    """
    merged = list(sequences[0])
    for sequence in sequences[1:]:
        best, length = 0.0, 0
        for size in range(1, min(len(sequence), len(merged)) + 1):
            num_equal = int(np.count_nonzero(np.array(merged[-size:]) == np.array(sequence[:size])))
            matching = num_equal / size + size * _LENGTH_BONUS
            if num_equal > 1 and matching > best:
                best, length = matching, size
        merged += sequence[length:]
    return merged
