"""Batches without waste: rows sorted by length, cut by a budget of padded tokens, padded with numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError, OptionError

IntArray = NDArray[np.int64]


def token_batches(
    lengths: ArrayLike, max_batch_tokens: int | None = None, max_batch_size: int | None = None
) -> list[IntArray]:
    """Group rows into batches, longest first, so that each batch pads little.

    Args:
        lengths: (rows,) number of tokens of each row.
        max_batch_tokens: most padded tokens of a batch (its rows times its longest row); a longer row is a batch of
            its own. None sets no limit.
        max_batch_size: most rows of a batch; None sets no limit.

    Returns:
        The row numbers of each batch; every row is in exactly one.

    Raises:
        OptionError: a limit below one.

    >>> [batch.tolist() for batch in token_batches([2, 9, 3, 2], max_batch_tokens=6)]
    [[1], [2, 0], [3]]
    """
    require_limit("max_batch_tokens", max_batch_tokens)
    require_limit("batch_size", max_batch_size)
    row_lengths = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-row_lengths, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        size = len(order) - start
        if max_batch_tokens is not None:
            size = min(size, max(1, max_batch_tokens // max(1, int(row_lengths[order[start]]))))
        if max_batch_size is not None:
            size = min(size, max_batch_size)
        batches.append(order[start : start + size])
        start += size
    return batches


def equal_length_batches(
    lengths: ArrayLike, max_batch_tokens: int | None = None, max_batch_size: int | None = None
) -> list[IntArray]:
    """Batches as :func:`token_batches` makes them, each of rows of one length: for models without a padding token.

    >>> [batch.tolist() for batch in equal_length_batches([2, 9, 2])]
    [[1], [0, 2]]
    """
    row_lengths = np.asarray(lengths, dtype=np.int64)
    batches = []
    for batch in token_batches(row_lengths, max_batch_tokens, max_batch_size):
        changes = np.flatnonzero(np.diff(row_lengths[batch])) + 1
        batches.extend(np.split(batch, changes))
    return batches


def require_limit(name: str, limit: int | None) -> None:
    """Raise OptionError unless ``limit`` is None or a whole number of at least one."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise OptionError(f"{name} is {limit!r}; it must be a whole number of at least 1, or None.")


@dataclass(frozen=True)
class Rows:
    """Token ids of several texts, one after the other.

    Args:
        ids: (tokens,) int64, the ids of all rows.
        lengths: (rows,) int64, how many of them each row has.
        type_ids: (tokens,) int64 token types, or None where the tokenizer gives none.
    """

    ids: IntArray
    lengths: IntArray
    type_ids: IntArray | None = None

    @classmethod
    def from_lists(cls, ids: Sequence[Sequence[int]], type_ids: Sequence[Sequence[int]] | None = None) -> Rows:
        """Rows from one list of ids for each text."""
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        return cls(_flatten(ids, lengths), lengths, None if type_ids is None else _flatten(type_ids, lengths))

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def starts(self) -> IntArray:
        """(rows,) index of each row's first token in ``ids``."""
        return np.cumsum(self.lengths) - self.lengths

    def row(self, index: int) -> IntArray:
        """(length,) ids of one row."""
        start = int(self.starts[index])
        return self.ids[start : start + int(self.lengths[index])]

    def replaced(self, indices: IntArray, other: Rows) -> Rows:
        """A copy in which the rows ``indices`` are those of ``other``."""
        lengths = self.lengths.copy()
        lengths[indices] = other.lengths
        kept = np.ones(len(self.ids), dtype=bool)
        for index in indices:
            kept[self.starts[index] : self.starts[index] + self.lengths[index]] = False
        from_other = np.zeros(len(lengths), dtype=bool)
        from_other[indices] = True
        places = np.repeat(from_other, lengths)

        def merge(values: IntArray, others: IntArray) -> IntArray:
            merged = np.empty(len(places), dtype=np.int64)
            merged[places] = others
            merged[~places] = values[kept]
            return merged

        type_ids = None
        if self.type_ids is not None and other.type_ids is not None:
            type_ids = merge(self.type_ids, other.type_ids)
        return Rows(merge(self.ids, other.ids), lengths, type_ids)


@dataclass(frozen=True)
class PaddedBatch:
    """Rows padded on the right to one length, as a graph takes them.

    Args:
        indices: (batch,) numbers of the rows in their :class:`Rows`.
        lengths: (batch,) tokens of each row, padding not counted.
        input_ids: (batch, sequence) int64.
        attention_mask: (batch, sequence) int64, 1 for a token and 0 for padding.
        token_type_ids: (batch, sequence) int64, zeros where the tokenizer gives none.
    """

    indices: IntArray
    lengths: IntArray
    input_ids: IntArray
    attention_mask: IntArray
    token_type_ids: IntArray

    def __len__(self) -> int:
        return len(self.indices)


def padded_batches(rows: Rows, batches: Sequence[IntArray], pad_token_id: int) -> Iterator[PaddedBatch]:
    """Pad each batch of row numbers to its longest row.

    Raises:
        InputError: a row without tokens.
    """
    if len(rows) and not rows.lengths.min():
        raise InputError(f"Text {int(rows.lengths.argmin())} has no tokens; leave empty texts out.")
    for indices in batches:
        yield _pad(rows, indices, pad_token_id)


def single_row_batch(rows: Rows) -> PaddedBatch:
    """The only row as a batch: nothing to sort, to pad or to cut, which a single short text would feel."""
    input_ids = rows.ids[None]
    type_ids = np.zeros_like(input_ids) if rows.type_ids is None else rows.type_ids[None]
    return PaddedBatch(np.zeros(1, dtype=np.int64), rows.lengths, input_ids, np.ones_like(input_ids), type_ids)


def _pad(rows: Rows, indices: IntArray, pad_token_id: int) -> PaddedBatch:
    lengths = rows.lengths[indices]
    width = int(lengths.max())
    columns = np.arange(width)
    is_token = columns < lengths[:, None]  # (batch, sequence)
    # Where each place of the batch is in the flat ids; places of padding point anywhere and are overwritten.
    places = np.minimum(rows.starts[indices][:, None] + columns, len(rows.ids) - 1)
    input_ids = rows.ids[places]
    has_padding = bool((lengths != width).any())
    if has_padding:
        input_ids[~is_token] = pad_token_id
    if rows.type_ids is None:
        token_type_ids = np.zeros_like(input_ids)
    else:
        token_type_ids = rows.type_ids[places]
        if has_padding:
            token_type_ids[~is_token] = 0
    return PaddedBatch(indices, lengths, input_ids, is_token.astype(np.int64), token_type_ids)


def _flatten(values: Sequence[Sequence[int]], lengths: IntArray) -> IntArray:
    return np.fromiter(chain.from_iterable(values), dtype=np.int64, count=int(lengths.sum()))
