"""Whisper's timestamps: the rules they are written by, and the segments that come of them.

Source: transformers 5.23, generation/logits_process.py (`WhisperTimeStampLogitsProcessor`) and
models/whisper/generation_whisper.py (`_retrieve_segment`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..numerics import log_softmax
from .history import Scores, TokenIds

INPUT_STRIDE = 2
"""Frames that become one position of the encoder, which is what a timestamp counts."""


@dataclass(frozen=True)
class TimestampRules:
    """Bans what the rules do not allow: timestamps come in pairs and never go back, and the first one is early.

    Args:
        begin: id of the first timestamp, 0.00; the token before it says that there are none.
        eos_token_id: end of the sequence; text tokens lie below it.
        prompt_length: tokens of the decoder's prompt.
        max_initial_index: latest first timestamp; None for any.
    """

    begin: int
    eos_token_id: int
    prompt_length: int
    max_initial_index: int | None = None

    def __call__(self, decoder_ids: TokenIds, scores: Scores) -> Scores:
        """Scores (rows, vocab) float32 for decoder ids (rows, tokens)."""
        scores = scores.copy()
        scores[:, self.begin - 1] = -np.inf
        new_ids = decoder_ids[:, self.prompt_length :]
        for row, tokens in enumerate(new_ids):
            self._apply_pairs(tokens, scores[row])
        if new_ids.shape[1] == 0:
            scores[:, : self.begin] = -np.inf
            if self.max_initial_index is not None:
                scores[:, self.begin + self.max_initial_index + 1 :] = -np.inf
        self._prefer_timestamps(scores)
        return scores

    def _apply_pairs(self, tokens: TokenIds, scores: Scores) -> None:
        is_last = len(tokens) >= 1 and tokens[-1] >= self.begin
        is_last_but_one = len(tokens) < 2 or tokens[-2] >= self.begin
        if is_last and is_last_but_one:
            scores[self.begin :] = -np.inf
        elif is_last:
            scores[: self.eos_token_id] = -np.inf
        timestamps = tokens[tokens >= self.begin]
        if len(timestamps):
            # The second of a pair may repeat the first; a new pair moves on.
            least = timestamps[-1] + (0 if is_last and not is_last_but_one else 1)
            scores[self.begin : least] = -np.inf

    def _prefer_timestamps(self, scores: Scores) -> None:
        """Where all timestamps together are likelier than any text token, it is one of them."""
        logprobs = log_softmax(scores)
        highest = logprobs[:, self.begin :].max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            together = highest[:, 0] + np.log(np.exp(logprobs[:, self.begin :] - highest).sum(axis=1))
        scores[together > logprobs[:, : self.begin].max(axis=1), : self.begin] = -np.inf


@dataclass
class Segment:
    """A piece of a transcription.

    Args:
        start: seconds from the beginning of the audio.
        end: likewise.
        tokens: (tokens,) int64, timestamps included.
        positions: where they stand in the window's sequence, its prompt included.
        result: the window's sequence, or what ``generate`` gave with it.
        token_timestamps: (tokens,) float32 seconds from the beginning of the audio, or None.
    """

    start: float
    end: float
    tokens: TokenIds
    positions: tuple[int, int]
    result: Any
    token_timestamps: Any = None

    def to_dict(self) -> dict[str, Any]:
        """The keys that transformers gives a segment."""
        segment = {
            "start": self.start,
            "end": self.end,
            "tokens": self.tokens,
            "idxs": self.positions,
            "result": self.result,
        }
        return segment if self.token_timestamps is None else {**segment, "token_timestamps": self.token_timestamps}


@dataclass(frozen=True)
class WindowClock:
    """Times of one window.

    Args:
        offset: seconds at which it begins.
        num_frames: frames of audio in it.
        timestamp_begin: id of the timestamp 0.00.
        precision: seconds of one timestamp.
        frame_precision: seconds of one frame.
    """

    offset: float
    num_frames: int
    timestamp_begin: int
    precision: float
    frame_precision: float


def split_segments(tokens: TokenIds, prompt_length: int, result: Any, clock: WindowClock) -> tuple[list[Segment], int]:
    """The segments of a window, and how many frames further the next one begins.

    Args:
        tokens: (tokens,) int64 that were written, without prompt and end.
        prompt_length: tokens of the window's prompt.
        result: goes into every segment.
    """
    is_timestamp = tokens >= clock.timestamp_begin
    ends = (np.flatnonzero(is_timestamp[:-1] & is_timestamp[1:]) + 1).tolist()
    if not ends:
        end = clock.offset + _last_position(tokens, is_timestamp, clock) * clock.precision
        whole = Segment(clock.offset, float(end), tokens, (prompt_length, prompt_length + len(tokens)), result)
        return [whole], clock.num_frames
    # A single timestamp at the end says that nothing is said after it.
    is_complete = is_timestamp[-2:].tolist() == [False, True]
    if is_complete:
        ends.append(len(tokens))
    else:
        # The last timestamp stays with its segment, to tell that it was no single one.
        ends[-1] += 1
    segments = []
    for index, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        piece = tokens[start:end]
        closing = piece[-2 if index == len(ends) - 1 and not is_complete else -1]
        times = [clock.offset + int(token - clock.timestamp_begin) * clock.precision for token in (piece[0], closing)]
        segments.append(Segment(times[0], times[1], piece, (prompt_length + start, prompt_length + end), result))
    if is_complete:
        return segments, clock.num_frames
    return segments, int(tokens[ends[-1] - 2] - clock.timestamp_begin) * INPUT_STRIDE


def _last_position(tokens: TokenIds, is_timestamp: Any, clock: WindowClock) -> int:
    """The timestamp that a window without pairs ends at; its end where it has none."""
    indices = np.flatnonzero(is_timestamp)
    if len(indices) and tokens[indices[-1]] != clock.timestamp_begin:
        return int(tokens[indices[-1]] - clock.timestamp_begin)
    return int(clock.num_frames * clock.frame_precision / clock.precision)
