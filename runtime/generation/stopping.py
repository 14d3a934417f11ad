"""When a row is finished: end-of-sequence ids, length, time, stop strings, and the caller's own criteria.

Source: transformers 5.23, generation/stopping_criteria.py. A criterion says for every row whether it is done after its
newest token; rows that were done before are the loop's business (``done |= criteria(history)``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError
from .config import GenerationConfig
from .history import Scores, TokenHistory
from .stop_strings import StopStrings, TokenText

Done = NDArray[np.bool_]
CustomCriterion = Callable[..., Any]


class Criterion(Protocol):
    """Says which rows are done after their newest token."""

    def __call__(self, history: TokenHistory, scores: tuple[Scores, ...] | None) -> Done | bool:
        """(rows,) bool, or one bool for all rows. ``scores`` holds every step's scores if they are recorded."""


def build_stopping(
    config: GenerationConfig,
    *,
    token_text: TokenText | None = None,
    custom: Iterable[CustomCriterion] = (),
    streamer: Any = None,
    start_time_s: float | None = None,
) -> StoppingCriteria:
    """Criteria that a resolved configuration asks for, in transformers' order (`_get_stopping_criteria`).

    Args:
        config: with ``max_length`` resolved.
        token_text: what a token contributes to the text; needed for ``stop_strings``, see :mod:`.stop_strings`.
        custom: callables ``f(input_ids, scores) -> bool or (rows,) bool``. ``input_ids`` is (rows, length) int64,
            left-padded; ``scores`` the tuple of scores so far, or None where they are not recorded.
        streamer: one with ``is_closed``, which ends all rows once whoever read it has left.
        start_time_s: ``time.monotonic()`` when generation began, for ``max_time``; now by default.

    Raises:
        OptionError: ``stop_strings`` without ``token_text``.
    """
    criteria: list[Criterion] = []
    if config.max_length is not None:
        criteria.append(max_length_criterion(config.max_length))
    if config.max_time is not None:
        criteria.append(max_time_criterion(config.max_time, start_time_s))
    if config.stop_strings:
        if token_text is None:
            raise OptionError("stop_strings needs the model's tokenizer; pass tokenizer= to generate().")
        strings = [config.stop_strings] if isinstance(config.stop_strings, str) else config.stop_strings
        criteria.append(StopStrings(strings, token_text))
    if config.eos_token_ids:
        criteria.append(end_of_sequence_criterion(config.eos_token_ids))
    criteria.extend(map(custom_criterion, custom))
    if hasattr(streamer, "is_closed"):
        criteria.append(closed_streamer_criterion(streamer))
    return StoppingCriteria(criteria)


class StoppingCriteria:
    """All criteria of one generation; any of them ends a row."""

    def __init__(self, criteria: Iterable[Criterion]) -> None:
        self._criteria = list(criteria)

    def __call__(self, history: TokenHistory, scores: tuple[Scores, ...] | None = None) -> Done:
        """(rows,) bool: whether each row is done after its newest token."""
        done = np.zeros(history.num_rows, dtype=bool)
        for criterion in self._criteria:
            done |= criterion(history, scores)
        return done


def max_length_criterion(max_length: int) -> Criterion:
    """All rows are done at ``max_length`` columns, the prompt included."""

    def is_full(history: TokenHistory, scores: tuple[Scores, ...] | None = None) -> bool:
        return history.length >= max_length

    return is_full


def max_time_criterion(max_time_s: float, start_time_s: float | None = None) -> Criterion:
    """All rows are done once ``max_time_s`` seconds have passed; the running step is finished first."""
    start = time.monotonic() if start_time_s is None else start_time_s

    def is_over(history: TokenHistory, scores: tuple[Scores, ...] | None = None) -> bool:
        return time.monotonic() - start > max_time_s

    return is_over


def end_of_sequence_criterion(eos_token_ids: Iterable[int]) -> Criterion:
    """A row is done when its newest token is one of these."""
    ids = np.array(list(eos_token_ids), dtype=np.int64)

    def is_end(history: TokenHistory, scores: tuple[Scores, ...] | None = None) -> Done:
        found: Done = (history.last_tokens[:, None] == ids).any(axis=1)
        return found

    return is_end


def closed_streamer_criterion(streamer: Any) -> Criterion:
    """All rows are done once the reader of a streamer has left."""

    def is_closed(history: TokenHistory, scores: tuple[Scores, ...] | None = None) -> bool:
        return bool(streamer.is_closed)

    return is_closed


def custom_criterion(function: CustomCriterion) -> Criterion:
    """The caller's criterion, with transformers' arguments.

    Raises, when called:
        InputError: it returns anything but a bool or one bool per row.
    """

    def is_done(history: TokenHistory, scores: tuple[Scores, ...] | None = None) -> Done:
        verdict = np.asarray(function(history.ids.copy(), scores))
        if verdict.dtype != bool or verdict.shape not in ((), (history.num_rows,), (history.num_rows, 1)):
            raise InputError(
                f"A stopping criterion returned {verdict.dtype} of shape {verdict.shape}; it returns a bool, or "
                f"{history.num_rows} bools, one per row."
            )
        return verdict.reshape(-1) if verdict.ndim == 2 else verdict

    return is_done
