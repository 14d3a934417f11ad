"""The KV cache of graphs that write into it: one preallocated buffer per layer, past and present at once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputTooLongError
from ..providers import import_onnxruntime
from .history import TokenIds
from .memory import require_memory

_GROWTH_BLOCK = 256

Lengths = NDArray[np.int32]


@dataclass(frozen=True)
class BufferSpec:
    """One key or value buffer of a graph.

    Args:
        past_name: the input that reads it.
        present_name: the output that is written to it.
        num_heads: its KV heads.
        head_dim: channels per head.
        dtype: numpy dtype.
    """

    past_name: str
    present_name: str
    num_heads: int
    head_dim: int
    dtype: str

    def shape(self, num_rows: int, capacity: int) -> tuple[int, int, int, int]:
        """(rows, heads, capacity, head_dim)."""
        return (num_rows, self.num_heads, capacity, self.head_dim)

    @property
    def size_bytes_per_token(self) -> int:
        """What one token of one row takes."""
        return self.num_heads * self.head_dim * np.dtype(self.dtype).itemsize


class SharedBufferCache:
    """Keys and values of several rows, each with its own length.

    A graph reads and writes the same buffers, so nothing is copied from step to step. Row ``i`` holds ``lengths[i]``
    tokens, whose ids are ``token_ids[i, :lengths[i]]``. ``is_long[i]`` says which of two sets of rotary angles its keys
    were turned by, where a model has two.

    Args:
        specs: the buffers of the graph.
        num_rows: rows of the batch.
        capacity: tokens a row can hold before the buffers grow.
        max_capacity: tokens a row can ever hold; None for no limit.

    Raises:
        CacheMemoryError: the buffers do not fit into memory; nothing was allocated.
    """

    def __init__(
        self, specs: Sequence[BufferSpec], num_rows: int, capacity: int, *, max_capacity: int | None = None
    ) -> None:
        _require_memory(specs, num_rows, capacity)
        # calloc: pages that no token reaches are never touched.
        buffers = [np.zeros(spec.shape(num_rows, capacity), dtype=spec.dtype) for spec in specs]
        rows = (np.zeros(num_rows, np.int32), np.zeros((num_rows, capacity), np.int64), np.zeros(num_rows, np.bool_))
        self._set(specs, buffers, *rows, max_capacity)

    def _set(
        self,
        specs: Sequence[BufferSpec],
        buffers: list[NDArray[Any]],
        lengths: Lengths,
        token_ids: TokenIds,
        is_long: NDArray[np.bool_],
        max_capacity: int | None,
    ) -> None:
        self.specs = tuple(specs)
        self.lengths = lengths
        self.token_ids = token_ids
        self.is_long = is_long
        self.max_capacity = max_capacity
        self._use(buffers)

    def _use(self, buffers: list[NDArray[Any]]) -> None:
        self.buffers = buffers
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        # On the CPU an OrtValue made of an array is a view of it.
        self.ort_values = [ort_value(buffer) for buffer in buffers]
        # What a decoder bound to these very buffers; it goes when they go.
        self.bound_step: Any = None

    def __repr__(self) -> str:
        return f"SharedBufferCache(lengths={self.lengths.tolist()}, capacity={self.capacity})"

    @property
    def num_rows(self) -> int:
        """Rows of the batch."""
        return len(self.lengths)

    @property
    def capacity(self) -> int:
        """Tokens a row can hold before the buffers grow."""
        return int(self.token_ids.shape[1])

    @property
    def size_bytes(self) -> int:
        """What the buffers take when they are full."""
        return sum(buffer.nbytes for buffer in self.buffers)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens of the longest row, as transformers' caches say it."""
        return int(self.lengths.max(initial=0))

    def row_ids(self, row: int) -> TokenIds:
        """(length,) int64: the tokens whose keys and values a row holds. A view."""
        return self.token_ids[row, : self.lengths[row]]

    def record(self, row: int, token_ids: TokenIds) -> None:
        """Note tokens that the graph has just written for a row."""
        start = self.lengths[row]
        self.token_ids[row, start : start + len(token_ids)] = token_ids
        self.lengths[row] += len(token_ids)

    def reserve(self, capacity: int) -> None:
        """Grow the buffers, if need be, so that every row can hold ``capacity`` tokens.

        Raises:
            CacheMemoryError: the larger buffers do not fit into memory; the cache is as it was.
            InputTooLongError: the model has no such position.
        """
        if capacity <= self.capacity:
            return
        if self.max_capacity is not None and capacity > self.max_capacity:
            raise InputTooLongError(
                f"{capacity} tokens are needed with those in the cache; the model takes {self.max_capacity}. "
                "Start a new cache or shorten the input."
            )
        wanted = max(capacity, self.capacity + max(_GROWTH_BLOCK, self.capacity // 2))
        self._reallocate(min(wanted, self.max_capacity or wanted))

    def _reallocate(self, capacity: int) -> None:
        buffers = self._moved(np.arange(self.num_rows), capacity)
        self.token_ids = np.pad(self.token_ids, ((0, 0), (0, capacity - self.capacity)))
        self._use(buffers)

    def select(self, rows: NDArray[np.integer]) -> None:
        """Let row ``i`` become what row ``rows[i]`` was; a row may come several times, or not at all.

        Raises:
            CacheMemoryError: there are more rows than before, and the larger buffers do not fit; nothing changed.
        """
        if len(rows) == self.num_rows:
            self._permute(rows)
            return
        buffers = self._moved(rows, self.capacity)
        self.lengths, self.token_ids, self.is_long = self.lengths[rows], self.token_ids[rows], self.is_long[rows]
        self._use(buffers)

    def _moved(self, rows: NDArray[np.integer], capacity: int) -> list[NDArray[Any]]:
        """New buffers that hold what these rows of the present ones hold."""
        _require_memory(self.specs, len(rows), capacity)
        used = int(self.lengths[rows].max(initial=0))
        buffers = []
        for spec, old in zip(self.specs, self.buffers, strict=True):
            new = np.zeros(spec.shape(len(rows), capacity), dtype=spec.dtype)
            new[:, :, :used] = old[rows, :, :used]
            buffers.append(new)
        return buffers

    def _permute(self, rows: NDArray[np.integer]) -> None:
        """Rewrite only the rows that change, in place, so that every binding stays."""
        changed = np.flatnonzero(rows != np.arange(self.num_rows))
        if not len(changed):
            return
        sources = rows[changed]
        self._copy_rows(sources, changed)
        self.lengths[changed] = self.lengths[sources]
        self.token_ids[changed] = self.token_ids[sources]
        self.is_long[changed] = self.is_long[sources]

    def _copy_rows(self, sources: NDArray[np.integer], targets: NDArray[np.integer]) -> None:
        """Let rows of the buffers become what others were before any of them changed."""
        used = int(self.lengths[sources].max(initial=0))
        for buffer in self.buffers:
            buffer[targets, :, :used] = buffer[sources, :, :used]

    def truncate(self, row: int, length: int) -> None:
        """Forget all but the first ``length`` tokens of a row."""
        self.lengths[row] = min(length, int(self.lengths[row]))

    def row(self, row: int) -> SharedBufferCache:
        """One row as a cache of its own on the same memory: what is written to it is written here.

        It is valid until this cache grows or its rows are selected.
        """
        return self._view(slice(row, row + 1))

    def leading(self, num_rows: int) -> SharedBufferCache:
        """The first rows as a cache of their own on the same memory, valid until this one grows."""
        return self._view(slice(0, num_rows))

    def _view(self, rows: slice) -> SharedBufferCache:
        view = copy.copy(self)
        lengths, token_ids, is_long = self.lengths[rows], self.token_ids[rows], self.is_long[rows]
        view._set(self.specs, self._buffer_views(rows), lengths, token_ids, is_long, self.capacity)
        return view

    def _buffer_views(self, rows: slice) -> list[NDArray[Any]]:
        return [buffer[rows] for buffer in self.buffers]

    def copy_row(self, row: int, length: int) -> list[NDArray[Any]]:
        """(1, heads, length, head_dim) copies of the first tokens of a row, one per buffer."""
        return [buffer[row : row + 1, :, :length].copy() for buffer in self.buffers]

    def fill_row(self, row: int, token_ids: TokenIds, states: Sequence[NDArray[Any]], *, is_long: bool = False) -> None:
        """Let a row begin with tokens and states that :meth:`copy_row` gave; what it held is gone."""
        self.reserve(len(token_ids))
        for buffer, state in zip(self.buffers, states, strict=True):
            buffer[row, :, : len(token_ids)] = state[0, :, : len(token_ids)]
        self.lengths[row], self.is_long[row] = 0, is_long
        self.record(row, token_ids)


def _require_memory(specs: Sequence[BufferSpec], num_rows: int, capacity: int) -> None:
    needed = sum(spec.size_bytes_per_token for spec in specs) * num_rows * capacity
    require_memory(needed, f"The KV cache for {num_rows} x {capacity} tokens")
