"""Probabilities of a text's own tokens, from a decoder's logits; numpy alone."""

from collections.abc import Sequence
from typing import Any


def next_token_log_probabilities(logits: Any, ids: Sequence[int]) -> list[float]:
    """Natural logarithm of the probability of each token but the first.

    Args:
        logits: (tokens, vocabulary) of the row's tokens.
        ids: the tokens.
    """
    import numpy as np

    scores = np.asarray(logits, dtype=np.float64)[: len(ids) - 1]
    largest = scores.max(axis=-1, keepdims=True)
    normalizers = largest[:, 0] + np.log(np.exp(scores - largest).sum(axis=-1))
    own = scores[np.arange(len(ids) - 1), np.asarray(ids[1:])]
    values: list[float] = (own - normalizers).tolist()
    return values
