"""Processors that force or forbid tokens at a position: lengths, first and last tokens, suppressed tokens, prefixes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..errors import InputError, OptionError
from .config import GenerationConfig
from .history import Scores, TokenHistory, TokenIds


class LeastLength:
    """Bans the end of sequence below ``min_length`` tokens, the prompt included.

    transformers: MinLengthLogitsProcessor.
    """

    def __init__(self, min_length: int, eos_token_ids: Iterable[int]) -> None:
        self.min_length = min_length
        self._ends = _token_array(eos_token_ids)

    @classmethod
    def for_config(cls, config: GenerationConfig) -> LeastLength | None:
        """The processor, or None for a model that has no end of sequence."""
        return cls(config.min_length or 0, config.eos_token_ids) if config.eos_token_ids else None

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Ban while the columns are too few."""
        if history.length < self.min_length:
            _suppress(scores, self._ends)
        return scores


class LeastNewTokens:
    """Bans the end of sequence before ``min_new_tokens`` new tokens.

    transformers: MinNewTokensLengthLogitsProcessor.
    """

    def __init__(self, min_new_tokens: int, eos_token_ids: Iterable[int]) -> None:
        self.min_new_tokens = min_new_tokens
        self._ends = _token_array(eos_token_ids)

    @classmethod
    def for_config(cls, config: GenerationConfig) -> LeastNewTokens | None:
        """The processor, or None for a model that has no end of sequence."""
        return cls(config.min_new_tokens or 0, config.eos_token_ids) if config.eos_token_ids else None

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Ban while the new tokens are too few."""
        if history.num_new_tokens < self.min_new_tokens:
            _suppress(scores, self._ends)
        return scores


class PrefixConstraint:
    """Allows only the tokens that the caller's function names for a row.

    transformers: PrefixConstrainedLogitsProcessor. Where all allowed tokens of a prompt's beams are banned by other
    options, the constraint wins.
    """

    def __init__(self, function: Callable[[int, Any], Iterable[int]] | None, num_beams: int) -> None:
        self._function = function
        self._num_beams = num_beams

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Ask for every row, and raise InputError where nothing is allowed."""
        mask = np.full_like(scores, -np.inf)
        for row, batch_row in enumerate(history.batch_rows.tolist()):
            given = self._function(batch_row, history.ids[row].copy()) if self._function else None
            allowed = [] if given is None else list(given)
            if not allowed or not 0 <= min(allowed) <= max(allowed) < scores.shape[1]:
                raise InputError(
                    f"prefix_allowed_tokens_fn allows the tokens {allowed} for prompt {batch_row}; it has to allow one "
                    f"or more, of 0 to {scores.shape[1] - 1}."
                )
            mask[row, allowed] = 0
        scores += mask
        stuck = np.isneginf(scores.max(axis=1)).reshape(-1, self._num_beams).all(axis=1)
        return np.where(np.repeat(stuck, self._num_beams)[:, None], mask, scores)


class ForcedBeginning:
    """Forces a token after a one-token prompt (the decoder's start token).

    transformers: ForcedBOSTokenLogitsProcessor.
    """

    def __init__(self, token_id: int | None) -> None:
        self._tokens = _token_array([] if token_id is None else [token_id])

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Force in the second column."""
        if history.length == 1:
            _force(scores, self._tokens)
        return scores


class ForcedEnd:
    """Forces an end of sequence as the last token before ``max_length``.

    transformers: ForcedEOSTokenLogitsProcessor.
    """

    def __init__(self, max_length: int | None, token_id: int | list[int] | None) -> None:
        self._max_length = max_length
        ids = token_id if isinstance(token_id, (list, tuple)) else [] if token_id is None else [token_id]
        self._tokens = _token_array(ids)

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Force in the last column."""
        if self._max_length is not None and history.length == self._max_length - 1:
            _force(scores, self._tokens)
        return scores


class LengthDecay:
    """Raises the score of the end of sequence, ever faster, from some number of new tokens on.

    transformers: ExponentialDecayLengthPenalty.
    """

    def __init__(self, start: int, factor: float, eos_token_ids: Iterable[int]) -> None:
        self._start, self._factor = start, factor
        self._ends = _token_array(token for token in eos_token_ids if token >= 0)

    @classmethod
    def for_config(cls, config: GenerationConfig) -> LengthDecay:
        """The processor, or an OptionError for a model that has no end of sequence."""
        if not config.eos_token_ids:
            raise OptionError("exponential_decay_length_penalty favours eos_token_id, which is not set; set it.")
        start, factor = config.exponential_decay_length_penalty or (0, 1.0)
        return cls(start, factor, config.eos_token_ids)

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Add abs(score) * (factor ** steps - 1), which also raises negative scores."""
        num_steps = history.num_new_tokens - self._start
        if num_steps > 0:
            columns = self._ends[self._ends < scores.shape[1]]
            ends = scores[:, columns]
            raised = np.abs(ends) * np.float32(self._factor**num_steps - 1)
            scores[:, columns] = ends + np.where(np.isfinite(ends), raised, np.float32(0))
        return scores


class SuppressTokens:
    """Bans tokens everywhere.

    transformers: SuppressTokensLogitsProcessor.
    """

    def __init__(self, token_ids: Iterable[int]) -> None:
        self._tokens = _token_array(token_ids)

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Ban."""
        _suppress(scores, self._tokens)
        return scores


class BeginSuppressTokens:
    """Bans tokens as the first new token, or as the second where the first is forced.

    transformers: SuppressTokensAtBeginLogitsProcessor and the choice of its `begin_index`.
    """

    def __init__(self, token_ids: Iterable[int], has_forced_beginning: bool) -> None:
        self._tokens = _token_array(token_ids)
        self._has_forced_beginning = has_forced_beginning

    @classmethod
    def for_config(cls, config: GenerationConfig) -> BeginSuppressTokens:
        """The processor of a configuration."""
        return cls(config.begin_suppress_tokens or (), config.forced_bos_token_id is not None)

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Ban at one position."""
        is_forced = self._has_forced_beginning and history.prompt_length == 1
        if history.num_new_tokens == int(is_forced):
            _suppress(scores, self._tokens)
        return scores


def _token_array(token_ids: Iterable[int]) -> TokenIds:
    return np.array(list(token_ids), dtype=np.int64)


def _suppress(scores: Scores, tokens: TokenIds) -> None:
    scores[:, tokens[(tokens >= 0) & (tokens < scores.shape[1])]] = -np.inf


def _force(scores: Scores, tokens: TokenIds) -> None:
    scores.fill(-np.inf)
    scores[:, tokens] = 0
