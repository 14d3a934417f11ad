"""Token vectors to one vector for each text, in the ways that sentence-transformers knows.

Source: ``Pooling`` of sentence-transformers 6.2. Rows are padded on the right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .numerics import mean_pool

FloatArray = NDArray[Any]
MaskArray = NDArray[Any]

_LEAST_DIVISOR = 1e-9


def pool(states: FloatArray, mask: MaskArray, modes: Sequence[str], num_prompt_tokens: int = 0) -> FloatArray:
    """Pool token vectors; several modes give their vectors side by side.

    Args:
        states: (batch, sequence, hidden) float.
        mask: (batch, sequence), 1 for a token and 0 for padding.
        modes: keys of :data:`POOLING`.
        num_prompt_tokens: tokens at the start of each row that are left out.

    Returns:
        (batch, hidden times number of modes) float.

    >>> states = np.array([[[1.0], [3.0], [9.0]]])
    >>> pool(states, np.array([[1, 1, 0]]), ["mean", "max"]).tolist()
    [[2.0, 3.0]]
    """
    if num_prompt_tokens:
        mask = mask.copy()
        mask[:, :num_prompt_tokens] = 0
    pooled = [POOLING[mode](states, mask) for mode in modes]
    return pooled[0] if len(pooled) == 1 else np.concatenate(pooled, axis=-1)


def _first(states: FloatArray, mask: MaskArray) -> FloatArray:
    """The first token that the mask keeps."""
    first: FloatArray = states[np.arange(len(states)), mask.argmax(axis=1)]
    return first


def _last(states: FloatArray, mask: MaskArray) -> FloatArray:
    """The last token that the mask keeps."""
    from_end = mask[:, ::-1].argmax(axis=1)
    last: FloatArray = states[np.arange(len(states)), mask.shape[1] - 1 - from_end]
    return last


def _max(states: FloatArray, mask: MaskArray) -> FloatArray:
    largest: FloatArray = np.where(mask[:, :, None] != 0, states, -np.inf).max(axis=1)
    return largest.astype(states.dtype)


def _mean(states: FloatArray, mask: MaskArray) -> FloatArray:
    return mean_pool(states, mask)


def _mean_sqrt_len(states: FloatArray, mask: MaskArray) -> FloatArray:
    """The sum of the kept tokens over the square root of their number."""
    counts = np.maximum(mask.sum(axis=1, keepdims=True), 1).astype(states.dtype)
    scaled: FloatArray = mean_pool(states, mask) * np.sqrt(counts)
    return scaled


def _weighted_mean(states: FloatArray, mask: MaskArray) -> FloatArray:
    """The mean in which the n-th token of a row counts n times."""
    weights = mask * np.arange(1, mask.shape[1] + 1, dtype=states.dtype)
    sums = np.matmul(weights[:, None, :].astype(states.dtype), states)[:, 0, :]
    mean: FloatArray = sums / np.maximum(weights.sum(axis=1, keepdims=True), _LEAST_DIVISOR).astype(states.dtype)
    return mean


POOLING: Mapping[str, Callable[[FloatArray, MaskArray], FloatArray]] = {
    "cls": _first,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt_len,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}
"""Mode → what pools states (batch, sequence, hidden) under a mask (batch, sequence) into (batch, hidden)."""
