"""What is asked of the engine, and what comes back token by token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...generation.config import GenerationConfig
from ...generation.grammar import Grammar
from ...generation.history import TokenIds

ScoreProcessor = Callable[..., Any]
"""``f(input_ids, scores) -> scores`` on (1, length) int64 and (1, vocab) float32."""


@dataclass(frozen=True)
class SequenceRequest:
    """One sequence to generate; it travels between processes.

    Args:
        prompt_ids: (tokens,) int64, at least one.
        config: with lengths resolved; one sequence, no beams.
        index: which choice of its request it is.
        stop: texts that end it; they and what follows are left out.
        num_top_logprobs: likeliest tokens to report beside each chosen one; None reports no probabilities.
        make_processors: makes further processors of scores, fresh ones for each sequence; they can be pickled.
        grammar: what the text has to look like, or None.
    """

    prompt_ids: TokenIds
    config: GenerationConfig
    index: int = 0
    stop: tuple[str, ...] = ()
    num_top_logprobs: int | None = None
    make_processors: tuple[Callable[[], ScoreProcessor], ...] = ()
    grammar: Grammar | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token and the natural logarithm of its probability before sampling options.

    Args:
        token_id: the token.
        logprob: its log-probability.
        top: the likeliest tokens and theirs, best first.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """What one step adds to a sequence.

    Args:
        index: which choice it belongs to.
        text: text that is now certain, perhaps none.
        token_id: the token; None where the sequence ended without one.
        logprob: its probability, where asked for; none for a token that only ends the sequence.
        finish_reason: ``"stop"`` or ``"length"`` with the last piece.
        num_cached_tokens: tokens of the prompt that were not run again.
        queue_s: seconds that the sequence waited for a place.
    """

    index: int
    text: str
    token_id: int | None
    logprob: TokenLogprob | None = None
    finish_reason: str | None = None
    num_cached_tokens: int = 0
    queue_s: float = 0.0
