"""Processors that reshape the distribution that is sampled: temperature and truncations.

A truncation depends on one row's distribution, mostly on a few tokens of it. Tokens at -inf stay there and never
count, so each row is first reduced to the others: after top_k=50 no later processor looks at more than 50.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from ..numerics import log_softmax, softmax
from .history import Scores, TokenHistory

Indices = NDArray[np.intp]

_TOP_H_CANDIDATES = 100
_TOP_P_CANDIDATES = 1024


class Temperature:
    """Divides the scores. transformers: TemperatureLogitsWarper."""

    def __init__(self, temperature: float) -> None:
        self._temperature = np.float32(temperature)

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Divide."""
        scores /= self._temperature
        return scores


class TopK:
    """Keeps the k highest scores, and all that equal the last of them. transformers: TopKLogitsWarper."""

    def __init__(self, top_k: int, min_tokens_to_keep: int = 1) -> None:
        self._top_k = max(top_k, min_tokens_to_keep)

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Ban what is below the k-th score."""
        if self._top_k < scores.shape[1]:
            scores[scores < _highest(scores, self._top_k)[:, -1:]] = -np.inf
        return scores


class RowTruncation(ABC):
    """A truncation that works on one row's scores above -inf."""

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Ban, row by row, what :meth:`removed` names."""
        for row_scores in scores:
            candidates = np.flatnonzero(row_scores != -np.inf)
            if len(candidates):
                row_scores[candidates[self.removed(row_scores[candidates])]] = -np.inf
        return scores

    @abstractmethod
    def removed(self, scores: Scores) -> NDArray[np.bool_]:
        """Which of a row's candidates to remove, (candidates,) bool; ``scores``: (candidates,) float32 over -inf."""


class TopP(RowTruncation):
    """Keeps the most likely tokens whose probabilities add up to ``top_p``. transformers: TopPLogitsWarper."""

    def __init__(self, top_p: float, min_tokens_to_keep: int = 1) -> None:
        self._removed_mass = np.float32(1 - top_p)
        self._min_tokens_to_keep = min_tokens_to_keep

    def removed(self, scores: Scores) -> NDArray[np.bool_]:
        """Remove from the least likely up, while the sum, the token's own share included, stays within 1 - top_p."""
        probabilities = softmax(scores)
        order = self._head(probabilities)
        ascending = order[::-1]
        # Summed in double precision, as torch sums; below the head lies what the head leaves.
        in_order = probabilities[ascending].astype(np.float64)
        below = probabilities.sum(dtype=np.float64) - in_order.sum()
        sums = (below + in_order.cumsum()).astype(np.float32)
        is_removed = sums <= self._removed_mass
        is_removed[max(0, len(ascending) - self._min_tokens_to_keep) :] = False
        kept = ascending[~is_removed]
        mask = np.ones(len(scores), dtype=bool)
        mask[kept] = False
        return mask

    def _head(self, probabilities: NDArray[np.floating]) -> Indices:
        """Indices of the most likely tokens, most likely first: enough to hold all that is kept."""
        size = max(_TOP_P_CANDIDATES, self._min_tokens_to_keep)
        while size < len(probabilities):
            head = np.argpartition(probabilities, len(probabilities) - size)[-size:]
            rest = probabilities.sum(dtype=np.float64) - probabilities[head].sum(dtype=np.float64)
            if rest < 0.999 * self._removed_mass:
                return head[np.argsort(-probabilities[head], kind="stable")]
            size *= 8
        return np.argsort(-probabilities, kind="stable")


class MinP(RowTruncation):
    """Keeps tokens at least ``min_p`` times as likely as the likeliest. transformers: MinPLogitsWarper."""

    def __init__(self, min_p: float, min_tokens_to_keep: int = 1) -> None:
        self._min_p = np.float32(min_p)
        self._min_tokens_to_keep = min_tokens_to_keep

    def removed(self, scores: Scores) -> NDArray[np.bool_]:
        """Remove the unlikely ones."""
        probabilities = softmax(scores)
        is_removed: NDArray[np.bool_] = probabilities < self._min_p * probabilities.max()
        is_removed[_top_indices(probabilities, self._min_tokens_to_keep)] = False
        return is_removed


class TypicalP(RowTruncation):
    """Keeps the tokens whose surprise is nearest to the expected one. transformers: TypicalLogitsWarper.

    Source: https://arxiv.org/abs/2202.00666.
    """

    def __init__(self, mass: float, min_tokens_to_keep: int = 1) -> None:
        self._mass = np.float32(mass)
        self._min_tokens_to_keep = min_tokens_to_keep

    def removed(self, scores: Scores) -> NDArray[np.bool_]:
        """Remove, once the nearest add up to the mass, those further away than the last of them."""
        log_probabilities = log_softmax(scores)
        entropy = -(log_probabilities * np.exp(log_probabilities)).sum()
        distances = np.abs(-log_probabilities - entropy)
        order = np.argsort(distances, kind="stable")
        sums = softmax(scores[order]).cumsum(dtype=np.float64).astype(np.float32)
        last = min(int((sums < self._mass).sum()), len(scores) - 1)
        is_removed: NDArray[np.bool_] = distances > distances[order[last]]
        is_removed[order[: self._min_tokens_to_keep]] = False
        return is_removed


class EpsilonCutoff(RowTruncation):
    """Keeps tokens with at least this probability. transformers: EpsilonLogitsWarper (https://arxiv.org/abs/2210.15191)."""

    def __init__(self, epsilon: float, min_tokens_to_keep: int = 1) -> None:
        self._epsilon = np.float32(epsilon)
        self._min_tokens_to_keep = min_tokens_to_keep

    def removed(self, scores: Scores) -> NDArray[np.bool_]:
        """Remove what is below both the cutoff and the highest scores."""
        return (softmax(scores) < self._epsilon) & (scores < _least_of_top(scores, self._min_tokens_to_keep))


class EtaCutoff(RowTruncation):
    """Keeps tokens over a cutoff that falls with the entropy. transformers: EtaLogitsWarper (https://arxiv.org/abs/2210.15191)."""

    def __init__(self, epsilon: float, min_tokens_to_keep: int = 1) -> None:
        self._epsilon = np.float32(epsilon)
        self._min_tokens_to_keep = min_tokens_to_keep

    def removed(self, scores: Scores) -> NDArray[np.bool_]:
        """Remove what is below both min(epsilon, sqrt(epsilon) * exp(-entropy)) and the highest scores."""
        log_probabilities = log_softmax(scores)
        probabilities = softmax(scores)
        entropy = -(log_probabilities * probabilities).sum()
        eta = min(self._epsilon, np.sqrt(self._epsilon) * np.exp(-entropy))
        is_removed: NDArray[np.bool_] = probabilities < eta
        return is_removed & (scores < _least_of_top(scores, self._min_tokens_to_keep))


class TopH(RowTruncation):
    """Keeps the likeliest tokens within ``top_h`` of the entropy. transformers: TopHLogitsWarper (https://arxiv.org/abs/2509.02510)."""

    def __init__(self, top_h: float) -> None:
        self._top_h = np.float32(top_h)

    def removed(self, scores: Scores) -> NDArray[np.bool_]:
        """Keep the head of the 100 likeliest whose entropy terms add up to the share, and the first always."""
        order = _top_indices(scores, _TOP_H_CANDIDATES)
        log_probabilities = log_softmax(scores[order])
        probabilities = softmax(scores[order])
        entropy = -(log_probabilities * probabilities).sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = -probabilities * np.log(probabilities)
            is_kept = terms.cumsum(dtype=np.float64).astype(np.float32) <= entropy * self._top_h
        is_kept[0] = True
        mask = np.ones(len(scores), dtype=bool)
        mask[order[is_kept]] = False
        return mask


def remove_invalid_values(history: TokenHistory, scores: Scores) -> Scores:
    """Replace nan by 0 and infinities by the largest finite values. transformers: InfNanRemoveLogitsProcessor."""
    limits = np.finfo(np.float32)
    return np.nan_to_num(scores, copy=False, nan=0.0, posinf=float(limits.max), neginf=float(limits.min))


def renormalize(history: TokenHistory, scores: Scores) -> Scores:
    """Logarithm of the softmax. transformers: LogitNormalization."""
    return log_softmax(scores).astype(np.float32, copy=False)


def _highest(scores: Scores, count: int) -> Scores:
    """(rows, count) the highest scores of each row, the lowest of them last."""
    part = np.partition(scores, scores.shape[-1] - count, axis=-1)
    return part[..., ::-1][..., :count]


def _least_of_top(scores: Scores, count: int) -> np.float32:
    """The ``count``-th highest score, or the lowest of all."""
    lowest: np.float32 = _highest(scores, min(count, len(scores)))[-1]
    return lowest


def _top_indices(scores: NDArray[np.floating], count: int) -> Indices:
    """Indices of the highest scores, highest first, the first of equals first."""
    if count == 1:
        return np.array([scores.argmax()])
    if count < len(scores):
        head = np.flatnonzero(scores >= np.partition(scores, len(scores) - count)[len(scores) - count])
    else:
        head = np.arange(len(scores))
    return head[np.argsort(-scores[head], kind="stable")][:count]
