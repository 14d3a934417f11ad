"""The highest few of many scores, without sorting them all.

The maxima of ``count`` groups are ``count`` scores, so the lowest of the best ``count`` maxima bounds the answer from
below. One pass for the maxima and one for the comparison leave a few dozen scores to sort.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]
Floats = NDArray[np.floating]

_GROUPS_PER_WANTED = 8


def highest_indices(scores: Floats, count: int) -> Indices:
    """Indices of the ``count`` highest scores (or of all), highest first, the first of equals first.

    Args:
        scores: (n,) floating point.
        count: 1 or more.

    >>> highest_indices(np.array([1.0, 3.0, 3.0, 2.0]), 3).tolist()
    [1, 2, 3]
    """
    if count == 1 and len(scores):
        return np.array([scores.argmax()])
    found = _candidates(scores, count)
    return found[np.argsort(-scores[found], kind="stable")][:count]


def kth_highest(scores: Floats, count: int) -> np.floating:
    """The ``count``-th highest score, or the lowest where there are fewer.

    >>> float(kth_highest(np.array([1.0, 3.0, 3.0, 2.0]), 2))
    3.0
    """
    values = scores[_candidates(scores, count)]
    position = max(0, len(values) - count)
    value: np.floating = np.partition(values, position)[position]
    return value


def _candidates(scores: Floats, count: int) -> Indices:
    """Indices, ascending, of some scores that hold the ``count`` highest."""
    num_groups = count * _GROUPS_PER_WANTED
    group_size = len(scores) // num_groups
    if group_size > 1:
        maxima = scores[: group_size * num_groups].reshape(group_size, num_groups).max(axis=0)
        bound = np.partition(maxima, num_groups - count)[num_groups - count]
        found = np.flatnonzero(scores >= bound)
        # Few enough, unless most scores are equal (-inf); nan compares with nothing.
        if count <= len(found) <= len(scores) // 4:
            return found
    if count < len(scores):
        kth = np.partition(scores, len(scores) - count)[len(scores) - count]
        found = np.flatnonzero(scores > kth)
        equal = np.flatnonzero(scores == kth)[: count - len(found)]
        if len(found) + len(equal) == count:
            return np.sort(np.concatenate([found, equal]))
    return np.arange(len(scores))
