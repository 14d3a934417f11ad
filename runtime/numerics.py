"""Numerics of the heads, in numpy: stable, vectorised, float32 in and out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.floating]


def softmax(logits: ArrayLike, axis: int = -1) -> FloatArray:
    """Softmax over ``axis``, with the maximum subtracted first so that no exponential overflows.

    >>> softmax([1000.0, 1000.0]).tolist()
    [0.5, 0.5]
    """
    scores = _as_float(logits)
    exponentials = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def log_softmax(logits: ArrayLike, axis: int = -1) -> FloatArray:
    """Logarithm of the softmax over ``axis``, without the loss of taking the logarithm of a small number.

    >>> log_softmax([0.0, -1000.0]).tolist()
    [0.0, -1000.0]
    """
    scores = _as_float(logits)
    shifted = scores - scores.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def sigmoid(logits: ArrayLike) -> FloatArray:
    """Logistic function, element by element, without overflow at either end.

    >>> sigmoid([-1000.0, 0.0, 1000.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    scores = _as_float(logits)
    decay = np.exp(-np.abs(scores))
    return np.where(scores >= 0, 1.0, decay) / (1.0 + decay)


def mean_pool(hidden_states: ArrayLike, attention_mask: ArrayLike) -> FloatArray:
    """Mean of the token vectors that the mask keeps.

    Args:
        hidden_states: (batch, sequence, hidden) float.
        attention_mask: (batch, sequence), 1 for a token and 0 for padding. A row without tokens gives zeros.

    Returns:
        (batch, hidden) float.

    >>> mean_pool([[[1.0], [3.0], [9.0]]], [[1, 1, 0]]).tolist()
    [[2.0]]
    """
    states = _as_float(hidden_states)
    mask = np.asarray(attention_mask, dtype=states.dtype)
    counts = np.maximum(mask.sum(axis=1, keepdims=True), 1)
    # A matrix product per row: one pass over the states, no masked copy of them.
    return np.matmul(mask[:, None, :], states)[:, 0, :] / counts


def normalize(vectors: ArrayLike) -> FloatArray:
    """Vectors scaled to Euclidean length one; a zero vector stays zero.

    >>> normalize([[3.0, 4.0], [0.0, 0.0]]).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    array = _as_float(vectors)
    lengths = np.linalg.norm(array, axis=-1, keepdims=True)
    return array / np.maximum(lengths, np.finfo(array.dtype).tiny)


def _as_float(values: ArrayLike) -> FloatArray:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.floating):
        return array.astype(np.float64)
    return array.astype(np.float32) if array.dtype == np.float16 else array
