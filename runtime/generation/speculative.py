"""Prompt lookup: guess the next tokens from earlier in the text, and keep the guesses that the model confirms.

Source: transformers 5.23, generation/candidate_generator.py (`PromptLookupCandidateGenerator`) and generation/utils.py
(`_assisted_decoding`). Only confirmed tokens are kept, so the output is the one without guessing; only the number of
model calls is lower.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .history import Scores, TokenHistory, TokenIds
from .logits import LogitsPipeline
from .sampler import Sampler

_DEFAULT_NGRAM_SIZE = 2


def lookup_candidates(
    token_ids: TokenIds, num_tokens: int, max_ngram_size: int | None = None, eos_token_ids: Iterable[int] = ()
) -> TokenIds:
    """Tokens that followed the text's last words where they came up before.

    The longest ending of up to ``max_ngram_size`` tokens that also occurs earlier is taken, its first occurrence, and
    what followed it there.

    Args:
        token_ids: (length,) int64, one row's own tokens.
        num_tokens: how many candidates at most; pass less near the length limit.
        max_ngram_size: longest ending to look for; 2 by default.
        eos_token_ids: the candidates stop before the first of these.

    Returns:
        (candidates,) int64, empty where nothing matches.

    >>> lookup_candidates(np.array([1, 2, 3, 4, 1, 2]), num_tokens=3).tolist()
    [3, 4, 1]
    """
    length = len(token_ids)
    for size in range(min(max_ngram_size or _DEFAULT_NGRAM_SIZE, length - 1), 0, -1):
        starts = _occurrences(token_ids, size)
        if len(starts) and num_tokens > 0:
            first = int(starts[0]) + size
            return _before_end(token_ids[first : first + num_tokens], eos_token_ids)
    return token_ids[:0]


def accept_candidates(
    candidates: TokenIds,
    logits: Scores,
    history: TokenHistory,
    processors: LogitsPipeline,
    sampler: Sampler,
    *,
    eos_token_ids: Iterable[int] = (),
    rows: NDArray[np.integer] | None = None,
) -> tuple[TokenIds, list[Scores]]:
    """Tokens that the model chooses at each position, up to the first that differs from its candidate.

    Each position is processed and sampled as a step without candidates would be, so greedy search gives the same tokens
    and sampling the same draws.

    Args:
        candidates: (k,) int64, k of 0 or more.
        logits: (k + 1, vocab) float32, of the last known token and of every candidate.
        history: one row; it ends with the last known token and is not changed.
        processors: of the configuration.
        sampler: of the configuration.
        eos_token_ids: nothing is kept behind one of these.
        rows: which row of the batch this is, for the sampler.

    Returns:
        The tokens, (1 to k + 1,) int64, and the processed scores, (1, vocab) each, that they were chosen by.
    """
    ends = frozenset(eos_token_ids)
    known = history
    tokens: list[int] = []
    all_scores: list[Scores] = []
    for position, position_logits in enumerate(logits):
        scores = processors(known, position_logits[None])
        chosen = sampler(scores, rows)
        token = int(chosen[0])
        tokens.append(token)
        all_scores.append(scores)
        is_confirmed = position < len(candidates) and token == candidates[position]
        if not is_confirmed or token in ends:
            break
        known = known.extended(chosen)
    return np.array(tokens, dtype=np.int64), all_scores


def _occurrences(token_ids: TokenIds, size: int) -> NDArray[np.intp]:
    """Where the last ``size`` tokens occur before, with something behind them."""
    length = len(token_ids)
    matches = np.ones(length - size, dtype=bool)
    for offset in range(size):
        matches &= token_ids[offset : offset + length - size] == token_ids[length - size + offset]
    return np.flatnonzero(matches)


def _before_end(candidates: TokenIds, eos_token_ids: Iterable[int]) -> TokenIds:
    ends = np.flatnonzero(np.isin(candidates, list(eos_token_ids)))
    return candidates[: ends[0]] if len(ends) else candidates
