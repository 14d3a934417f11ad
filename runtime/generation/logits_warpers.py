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
from .top import Indices, highest_indices, kth_highest

_TOP_H_CANDIDATES = 100
_TYPICAL_CANDIDATES = 1024


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
            for row_scores in scores:
                _keep_only(row_scores, np.flatnonzero(~(row_scores < kth_highest(row_scores, self._top_k))))
        return scores


def _keep_only(scores: Scores, indices: Indices) -> None:
    """Ban all tokens of a row but these: for few of them, much faster than assigning through a mask."""
    kept = scores[indices]
    scores.fill(-np.inf)
    scores[indices] = kept


class RowTruncation(ABC):
    """A truncation that works on one row's scores above -inf."""

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Ban, row by row, what :meth:`removed` names."""
        for row_scores in scores:
            is_candidate = row_scores != -np.inf
            if is_candidate.all():
                row_scores[self.removed(row_scores)] = -np.inf
            elif is_candidate.any():
                candidates = np.flatnonzero(is_candidate)
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
        head = self._ascending_head(probabilities)
        # Summed in double precision, as torch sums; below the head lies what the head leaves.
        below = probabilities.sum(dtype=np.float64) - head.sum(dtype=np.float64)
        sums = (below + head.cumsum(dtype=np.float64)).astype(np.float32)
        num_removed = int(np.count_nonzero(sums <= self._removed_mass))
        num_removed = max(0, min(num_removed, len(head) - self._min_tokens_to_keep))
        lowest_kept = head[num_removed]
        is_removed: NDArray[np.bool_] = probabilities < lowest_kept
        equal = np.flatnonzero(probabilities == lowest_kept)
        num_kept_equal = np.count_nonzero(head[num_removed:] == lowest_kept)
        is_removed[equal[: len(equal) - num_kept_equal]] = True
        return is_removed

    def _ascending_head(self, probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
        """Probabilities in ascending order without the smallest, which all together stay within what is removed."""
        negligible = 0.999 * self._removed_mass / len(probabilities)
        head = probabilities[probabilities > negligible]
        return np.sort(head if len(head) >= self._min_tokens_to_keep else probabilities)


class MinP(RowTruncation):
    """Keeps tokens at least ``min_p`` times as likely as the likeliest. transformers: MinPLogitsWarper."""

    def __init__(self, min_p: float, min_tokens_to_keep: int = 1) -> None:
        self._min_p = np.float32(min_p)
        self._min_tokens_to_keep = min_tokens_to_keep

    def removed(self, scores: Scores) -> NDArray[np.bool_]:
        """Remove the unlikely ones."""
        probabilities = softmax(scores)
        is_removed: NDArray[np.bool_] = probabilities < self._min_p * probabilities.max()
        is_removed[highest_indices(probabilities, self._min_tokens_to_keep)] = False
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
        probabilities = softmax(scores)
        nearest = self._nearest(distances, probabilities)
        sums = probabilities[nearest].cumsum(dtype=np.float64).astype(np.float32)
        last = min(int(np.count_nonzero(sums < self._mass)), len(nearest) - 1)
        is_removed: NDArray[np.bool_] = distances > distances[nearest[last]]
        is_removed[nearest[: self._min_tokens_to_keep]] = False
        return is_removed

    def _nearest(self, distances: NDArray[np.floating], probabilities: NDArray[np.floating]) -> Indices:
        """Indices by distance, nearest first: enough to add up to the mass."""
        size = _TYPICAL_CANDIDATES
        while size < len(distances):
            head = np.argpartition(distances, size)[:size]
            if probabilities[head].sum() > 1.001 * self._mass:
                return head[np.argsort(distances[head], kind="stable")]
            size *= 8
        return np.argsort(distances, kind="stable")


class EpsilonCutoff(RowTruncation):
    """Keeps tokens with at least this probability. transformers: EpsilonLogitsWarper (https://arxiv.org/abs/2210.15191)."""

    def __init__(self, epsilon: float, min_tokens_to_keep: int = 1) -> None:
        self._epsilon = np.float32(epsilon)
        self._min_tokens_to_keep = min_tokens_to_keep

    def removed(self, scores: Scores) -> NDArray[np.bool_]:
        """Remove what is below both the cutoff and the highest scores."""
        return (softmax(scores) < self._epsilon) & (scores < kth_highest(scores, self._min_tokens_to_keep))


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
        return is_removed & (scores < kth_highest(scores, self._min_tokens_to_keep))


class TopH(RowTruncation):
    """Keeps the likeliest tokens within ``top_h`` of the entropy. transformers: TopHLogitsWarper (https://arxiv.org/abs/2509.02510)."""

    def __init__(self, top_h: float) -> None:
        self._top_h = np.float32(top_h)

    def removed(self, scores: Scores) -> NDArray[np.bool_]:
        """Keep the head of the 100 likeliest whose entropy terms add up to the share, and the first always."""
        order = highest_indices(scores, _TOP_H_CANDIDATES)
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
