"""Small questions about token ids."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .history import TokenIds


def common_prefix_length(one: TokenIds, other: TokenIds) -> int:
    """How many tokens at the beginning are the same.

    >>> common_prefix_length(np.array([5, 6, 7]), np.array([5, 6, 8, 9]))
    2
    """
    length = min(len(one), len(other))
    different = np.flatnonzero(one[:length] != other[:length])
    return int(different[0]) if len(different) else length


def infer_attention_mask(
    input_ids: TokenIds, pad_token_id: int | None, eos_token_ids: Iterable[int]
) -> NDArray[np.bool_]:
    """(batch, sequence) bool: what transformers takes for real tokens where the caller gives no mask.

    A padding id that also ends sequences says nothing; then every column counts
    (`_prepare_attention_mask_for_generation`).
    """
    if pad_token_id is None or pad_token_id in set(eos_token_ids):
        return np.ones(input_ids.shape, dtype=bool)
    is_token: NDArray[np.bool_] = input_ids != pad_token_id
    return is_token


def require_known_ids(token_ids: ArrayLike, vocab_size: int) -> None:
    """Refuse ids that the vocabulary does not have.

    Raises:
        InputError: an id is negative or too large.
    """
    ids = np.asarray(token_ids)
    if ids.size and (ids.min() < 0 or ids.max() >= vocab_size):
        raise InputError(
            f"input_ids holds {int(ids.min())} to {int(ids.max())}; the vocabulary has 0 to {vocab_size - 1}. "
            "Was the text tokenized with another model's tokenizer?"
        )
