"""How alike embeddings are, by the measures that sentence-transformers knows.

Source: ``util/similarity.py`` of sentence-transformers 6.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .sentence_transformers import unit_length

FloatArray = NDArray[np.floating]


def cosine(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Cosine of the angle between each vector of ``first`` and each of ``second``: (n, m).

    >>> cosine([[1.0, 0.0]], [[0.0, 2.0], [3.0, 0.0]]).tolist()
    [[0.0, 1.0]]
    """
    return dot(unit_length(_matrix(first)), unit_length(_matrix(second)))


def dot(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Scalar product of each vector of ``first`` with each of ``second``: (n, m)."""
    products: FloatArray = _matrix(first) @ _matrix(second).T
    return products


def euclidean(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Euclidean distance of each pair of vectors, negative so that larger is more alike: (n, m)."""
    a, b = _matrix(first), _matrix(second)
    return -np.stack([np.linalg.norm(row - b, axis=-1) for row in a]) if len(a) else np.empty((0, len(b)))


def manhattan(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Sum of absolute differences of each pair of vectors, negative so that larger is more alike: (n, m)."""
    a, b = _matrix(first), _matrix(second)
    return -np.stack([np.abs(row - b).sum(axis=-1) for row in a]) if len(a) else np.empty((0, len(b)))


SIMILARITIES: Mapping[str, Callable[[ArrayLike, ArrayLike], FloatArray]] = {
    "cosine": cosine,
    "dot": dot,
    "euclidean": euclidean,
    "manhattan": manhattan,
}
"""Name → measure between (n, dim) and (m, dim), a larger value meaning more alike."""


def _matrix(vectors: ArrayLike) -> FloatArray:
    """(n, dim) float array; one vector counts as a row."""
    array = np.atleast_2d(np.asarray(vectors))
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float32)
