"""Numerics of the heads, in numpy: stable, vectorised, the dtype that came in (float32 for float16)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError, InputTypeError

FloatArray = NDArray[np.floating]


def softmax(logits: ArrayLike, axis: int = -1) -> FloatArray:
    """Softmax over ``axis``, with the maximum subtracted first so that no exponential overflows.

    Args:
        logits: any shape, numbers.
        axis: the axis whose values add up to one.

    >>> softmax([1000.0, 1000.0]).tolist()
    [0.5, 0.5]
    """
    scores = _as_float(logits)
    exponentials: FloatArray = np.exp(scores - _maximum(scores, axis))
    total = exponentials.sum(axis=axis, keepdims=True)
    probabilities: FloatArray = exponentials / total
    return probabilities


def log_softmax(logits: ArrayLike, axis: int = -1) -> FloatArray:
    """Logarithm of the softmax over ``axis``, without the loss of taking the logarithm of a small number.

    >>> log_softmax([0.0, -1000.0]).tolist()
    [0.0, -1000.0]
    """
    scores = _as_float(logits)
    if not scores.size:
        return scores
    shifted = scores - _maximum(scores, axis)
    logarithms: FloatArray = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return logarithms


def sigmoid(logits: ArrayLike) -> FloatArray:
    """Logistic function, element by element, without overflow at either end.

    >>> sigmoid([-1000.0, 0.0, 1000.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    scores = _as_float(logits)
    decay = np.exp(-np.abs(scores))
    probabilities: FloatArray = np.where(scores >= 0, 1.0, decay) / (1.0 + decay)
    return probabilities


def mean_pool(hidden_states: ArrayLike, attention_mask: ArrayLike) -> FloatArray:
    """Mean of the token vectors that the mask keeps.

    Args:
        hidden_states: (batch, sequence, hidden) float.
        attention_mask: (batch, sequence), 1 for a token and 0 for padding. A row without tokens gives zeros.

    Returns:
        (batch, hidden) float.

    Raises:
        InputError: the shapes do not belong together.

    >>> mean_pool([[[1.0], [3.0], [9.0]]], [[1, 1, 0]]).tolist()
    [[2.0]]
    """
    states = _as_float(hidden_states)
    mask = np.asarray(attention_mask)
    if states.ndim != 3 or mask.shape != states.shape[:2]:
        raise InputError(
            f"hidden_states has shape {states.shape} and attention_mask {mask.shape}; "
            "(batch, sequence, hidden) and (batch, sequence) are needed."
        )
    if mask.all():
        mean: FloatArray = np.add.reduce(states, axis=1) / states.dtype.type(max(states.shape[1], 1))
        return mean
    mask = mask.astype(states.dtype)
    counts = np.maximum(mask.sum(axis=1, keepdims=True), 1)
    # A matrix product per row: one pass over the states, no masked copy of them.
    means: FloatArray = np.matmul(mask[:, None, :], states)[:, 0, :] / counts
    return means


def normalize(vectors: ArrayLike) -> FloatArray:
    """Vectors scaled to Euclidean length one; a zero vector stays zero.

    Args:
        vectors: (…, hidden) numbers.

    >>> normalize([[3.0, 4.0], [0.0, 0.0]]).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    array = _as_float(vectors)
    lengths = np.linalg.norm(array, axis=-1, keepdims=True)
    scaled: FloatArray = array / np.maximum(lengths, np.finfo(array.dtype).tiny)
    return scaled


def _maximum(scores: FloatArray, axis: int) -> FloatArray:
    # With an initial value, so that an empty axis has a maximum too.
    maximum: FloatArray = np.max(scores, axis=axis, keepdims=True, initial=-np.inf)
    return maximum


def _as_float(values: ArrayLike) -> FloatArray:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"An array of numbers is needed, and this is none: {error}.") from error
    if array.dtype.kind not in "biuf":
        raise InputTypeError(f"An array of numbers is needed; this one has dtype {array.dtype}.")
    if array.dtype.kind != "f":
        return array.astype(np.float64)
    return array.astype(np.float32) if array.dtype == np.float16 else array
