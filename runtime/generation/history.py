"""The tokens of a batch so far, one column per step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, InputTypeError

TokenIds = NDArray[np.int64]
Scores = NDArray[np.float32]

_SPARE_COLUMNS = 64


class TokenHistory:
    """Prompt and new tokens of every row, right-aligned, so that one column is one step for all rows.

    Row ``i`` holds its own tokens in ``ids[i, starts[i]:]``; the columns before are padding. Options that look at the
    past (repetition_penalty, no_repeat_ngram_size, …) look at a row's own tokens only, so a row gives the same ids
    alone and in a ragged batch. Options that count (max_length, min_length) count columns, the longest prompt of the
    batch included, as transformers does; ``max_new_tokens`` and ``min_new_tokens`` mean the same for every row.

    >>> history = TokenHistory.from_prompts([[5, 6, 0], [7, 8, 9]], [[1, 1, 0], [1, 1, 1]], pad_token_id=0)
    >>> history.append([1, 2])
    >>> history.ids.tolist(), history.starts.tolist()
    ([[0, 5, 6, 1], [7, 8, 9, 2]], [1, 0])
    """

    def __init__(
        self,
        ids: TokenIds,
        starts: TokenIds,
        *,
        prompt_length: int | None = None,
        batch_rows: TokenIds | None = None,
    ) -> None:
        """Take over right-aligned tokens.

        Args:
            ids: (rows, length) int64, left-padded.
            starts: (rows,) int64, the column of each row's first own token.
            prompt_length: how many of the columns are prompt; all of them by default.
            batch_rows: (rows,) int64, the prompt each row belongs to; rows 0, 1, 2 … by default. Several beams or
                returned sequences share one prompt.
        """
        self._buffer = ids
        self.length = int(ids.shape[1])
        self.starts = starts
        self.prompt_length = self.length if prompt_length is None else prompt_length
        self.batch_rows = np.arange(len(ids), dtype=np.int64) if batch_rows is None else batch_rows

    @classmethod
    def from_prompts(
        cls, input_ids: ArrayLike, attention_mask: ArrayLike | None = None, *, pad_token_id: int | None = None
    ) -> TokenHistory:
        """Start from prompts padded on either side.

        Args:
            input_ids: (batch, sequence) integers.
            attention_mask: (batch, sequence), 1 for a token and 0 for padding; None keeps every column.
            pad_token_id: what fills the padding columns; 0 when there is none.

        Raises:
            InputTypeError: the ids are not a two-dimensional array of integers.
            InputError: the mask has another shape, or a row has no token.
        """
        ids = _as_token_ids(input_ids)
        mask = np.ones(ids.shape, dtype=bool) if attention_mask is None else np.asarray(attention_mask) != 0
        if mask.shape != ids.shape:
            raise InputError(f"attention_mask is {mask.shape}; it must have the shape of input_ids, {ids.shape}.")
        lengths = mask.sum(axis=1)
        if ids.size == 0 or lengths.min() == 0:
            row = int(lengths.argmin()) if len(lengths) else 0
            raise InputError(f"Row {row} of input_ids holds no token; every prompt needs at least one.")
        width = int(lengths.max())
        aligned = np.full((len(ids), width), pad_token_id or 0, dtype=np.int64)
        aligned[np.arange(width) >= width - lengths[:, None]] = ids[mask]
        return cls(aligned, width - lengths)

    @property
    def ids(self) -> TokenIds:
        """(rows, length) int64, left-padded: transformers' ``input_ids``. A view: do not write to it."""
        return self._buffer[:, : self.length]

    @property
    def new_ids(self) -> TokenIds:
        """(rows, num_new_tokens) int64: what was generated so far. A view."""
        return self._buffer[:, self.prompt_length : self.length]

    @property
    def last_tokens(self) -> TokenIds:
        """(rows,) int64: the newest token of each row."""
        return self._buffer[:, self.length - 1]

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(self._buffer)

    @property
    def num_new_tokens(self) -> int:
        """How many tokens each row has generated."""
        return self.length - self.prompt_length

    @property
    def lengths(self) -> TokenIds:
        """(rows,) int64: how many own tokens each row has, prompt included."""
        return self.length - self.starts

    def row(self, index: int) -> TokenIds:
        """(own tokens,) int64: the tokens of one row without padding. A view."""
        return self._buffer[index, self.starts[index] : self.length]

    def own_tokens(self, vocab_size: int) -> tuple[NDArray[np.intp], TokenIds]:
        """Row index and id of every own token below ``vocab_size``, for indexing ``scores[rows, tokens]``."""
        ids = self.ids
        kept = ids < vocab_size
        if self.starts.any():
            kept &= np.arange(self.length) >= self.starts[:, None]
        rows, columns = np.nonzero(kept)
        return rows, ids[rows, columns]

    def append(self, tokens: TokenIds | Sequence[int]) -> None:
        """Add one column: the next token of each row, (rows,) integers."""
        if self.length == self._buffer.shape[1]:
            spare = max(_SPARE_COLUMNS, self.length // 2)
            self._buffer = np.pad(self._buffer, ((0, 0), (0, spare)))
        self._buffer[:, self.length] = tokens
        self.length += 1

    def truncate(self, length: int) -> None:
        """Drop the columns from ``length`` on."""
        self.length = length

    def select(self, rows: NDArray[np.integer]) -> TokenHistory:
        """History of ``rows``, in that order; a row may appear several times (beams) or not at all (finished)."""
        return TokenHistory(
            self.ids[rows], self.starts[rows], prompt_length=self.prompt_length, batch_rows=self.batch_rows[rows]
        )

    def expand(self, times: int) -> TokenHistory:
        """History with every row repeated ``times`` times, for beams or several returned sequences."""
        return self.select(np.repeat(np.arange(self.num_rows), times))

    def extended(self, tokens: TokenIds) -> TokenHistory:
        """Copy with one more column, (rows,) int64."""
        return TokenHistory(
            np.concatenate([self.ids, tokens[:, None]], axis=1),
            self.starts,
            prompt_length=self.prompt_length,
            batch_rows=self.batch_rows,
        )


def _as_token_ids(input_ids: ArrayLike) -> TokenIds:
    ids = np.asarray(input_ids)
    if ids.ndim != 2 or not (np.issubdtype(ids.dtype, np.integer) or ids.size == 0):
        raise InputTypeError(
            f"input_ids is a {ids.ndim}-dimensional {ids.dtype} array; generate takes (batch, sequence) integers."
        )
    return ids.astype(np.int64)
