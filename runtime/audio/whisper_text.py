"""Whisper's tokens to text and timed chunks, over windows that may overlap.

Source: transformers 5.23, models/whisper/tokenization_whisper.py (`_decode_asr`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..generation.whisper_languages import LANGUAGES
from ..tokenization.tokenizer import Tokenizer
from .merging import merge_overlapping
from .whisper_words import words_with_times

# Positions of the encoder in one window.
_WINDOW_POSITIONS = 1500


@dataclass(frozen=True)
class WhisperOutput:
    """What was written for one piece of audio.

    Args:
        tokens: ids, timestamps and special tokens included.
        stride: seconds of the piece, and those at its left and right that its neighbours answer for; None for a piece
            that stands alone.
        token_times: seconds at which each token ends, where words are to be timed.
    """

    tokens: Sequence[int]
    stride: tuple[float, float, float] | None = None
    token_times: Sequence[float] | None = None


@dataclass
class _Open:
    """A chunk that is not closed yet."""

    language: str | None = None
    start: float | None = None


@dataclass
class WhisperTranscript:
    """Collects outputs; :meth:`result` gives text and chunks.

    Args:
        tokenizer: of the model.
        time_precision: seconds of one timestamp.
        with_words: time words instead of segments.
        with_language: put the language into the chunks.
        with_timestamps: chunks are made and timed.
    """

    tokenizer: Tokenizer
    time_precision: float
    with_timestamps: bool = False
    with_words: bool = False
    with_language: bool = False
    _chunks: list[dict[str, Any]] = field(default_factory=list)
    _previous: list[list[int]] = field(default_factory=list)
    _previous_times: list[list[tuple[float, float]]] = field(default_factory=list)
    _open: _Open = field(default_factory=_Open)
    _language: str | None = None
    _offset: float = 0.0
    _skips: bool = False

    def __post_init__(self) -> None:
        none = self.tokenizer.convert_tokens_to_ids("<|notimestamps|>")
        if none is None:
            raise InputError("The tokenizer has no <|notimestamps|>, so it is not Whisper's; pass the model's own.")
        self._begin = none + 1
        self._special = set(self.tokenizer.all_special_ids)

    def add(self, output: WhisperOutput) -> None:
        """Take in the next output."""
        tokens = self._without_prompt(list(output.tokens))
        clock = _Clock(self, output, tokens)
        current: list[int] = []
        times: list[tuple[float, float]] = []
        for index, token in enumerate(tokens):
            if token in self._special:
                if self._take_language(token, current):
                    current, times = [], []
            elif token >= self._begin:
                if self._take_timestamp(clock.time(index), token, clock, current, times):
                    current, times = [], []
            else:
                current.append(token)
                if self.with_words and output.token_times is not None:
                    start = output.token_times[index - 1] if index else 0.0
                    ends = (start + self._offset, output.token_times[index] + self._offset)
                    times.append((round(ends[0], 2), round(ends[1], 2)))
        if output.stride is not None:
            self._offset += output.stride[0] - output.stride[2]
        if current:
            self._previous.append(current)
            self._previous_times.append(times)
        elif not any(self._previous):
            self._open = _Open(self._language)
            self._previous, self._previous_times = [], []

    def result(self) -> dict[str, Any]:
        """``text``, and ``chunks`` where timestamps or languages are wanted."""
        if self._previous:
            self._close(None)
        text = "".join(chunk["text"] for chunk in self._chunks)
        if not (self.with_timestamps or self.with_language):
            return {"text": text}
        if self.with_words:
            return {"text": text, "chunks": [word for chunk in self._chunks for word in chunk["words"]]}
        is_kept = {"timestamp": self.with_timestamps, "language": self.with_language}
        left_out = {name for name, kept in is_kept.items() if not kept}
        chunks = [{name: value for name, value in chunk.items() if name not in left_out} for chunk in self._chunks]
        return {"text": text, "chunks": chunks}

    def _without_prompt(self, tokens: list[int]) -> list[int]:
        if not tokens or tokens[0] != self.tokenizer.convert_tokens_to_ids("<|startofprev|>"):
            return tokens
        start = self.tokenizer.convert_tokens_to_ids("<|startoftranscript|>")
        return tokens[tokens.index(start) :] if start in tokens else []

    def _take_language(self, token: int, current: list[int]) -> bool:
        """Note a language; whether that closed the chunk."""
        language = LANGUAGES.get(str(self.tokenizer.decode([token]))[2:-2])
        if language is None:
            return False
        is_other = bool(self._language) and language != self._language and not self.with_timestamps
        if is_other:
            self._previous.append(current)
            self._close(None)
        self._open.language = self._language = language
        return is_other

    def _take_timestamp(
        self, time: float, token: int, clock: _Clock, current: list[int], times: list[tuple[float, float]]
    ) -> bool:
        """Begin or end a chunk; whether it was ended."""
        if clock.last and token >= clock.last:
            # In the overlap at the right: the next output says it better, and the other of its pair is skipped too.
            self._skips = True
        elif self._skips or (self._previous and token < clock.first):
            self._skips = False
        elif self._open.start is None:
            self._open.start = time
        elif time != self._open.start:
            self._previous.append(current)
            self._previous_times.append(times)
            self._close(time)
            return True
        return False

    def _close(self, end: float | None) -> None:
        """End the chunk, with the text of all that overlaps in it."""
        times = self._previous_times if self.with_words else None
        tokens, token_times = merge_overlapping(self._previous, times)
        chunk: dict[str, Any] = {
            "language": self._open.language,
            "timestamp": (self._open.start, end),
            "text": str(self.tokenizer.decode(tokens)),
        }
        if self.with_words:
            language = {"language": self._language} if self.with_language else {}
            words = words_with_times(self.tokenizer, tokens, token_times, self._language)
            chunk["words"] = [{**word, **language} for word in words]
        self._chunks.append(chunk)
        self._previous, self._previous_times, self._open = [], [], _Open(self._language)


class _Clock:
    """Times of one output's timestamps, which begin anew in every window of long audio."""

    def __init__(self, transcript: WhisperTranscript, output: WhisperOutput, tokens: list[int]) -> None:
        self._begin, self._precision = transcript._begin, transcript.time_precision
        self._tokens = tokens
        self._latest = self._before_latest = self._passed = 0.0
        self.first: float = self._begin
        self.last: int | None = None
        if output.stride is not None:
            length, left, right = output.stride
            transcript._offset -= left
            if left:
                self.first = left / self._precision + self._begin
            if right:
                self.last = self._last_before(length - right)
        self._offset = transcript._offset

    def time(self, index: int) -> float:
        """Seconds of the timestamp at ``index``, from the beginning of the audio."""
        position = (self._tokens[index] - self._begin) * self._precision
        if position < self._latest:
            pair = self._tokens[max(index - 2, 0) : index]
            if index >= 2 and not all(token >= self._begin for token in pair):
                self._passed += self._precision * _WINDOW_POSITIONS
            else:
                self._latest = self._before_latest
                self._passed += self._before_latest
        self._before_latest, self._latest = self._latest, position
        return round(position + self._offset + self._passed, 2)

    def _last_before(self, end: float) -> int | None:
        """The first timestamp of the overlap at the right, or the last one there is."""
        last = None
        for token in reversed(self._tokens):
            if token >= self._begin:
                if last is not None and (token - self._begin) * self._precision < end:
                    break
                last = token
        return last
