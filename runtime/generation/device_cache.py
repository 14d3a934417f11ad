"""The KV cache of graphs that write into it, in the memory of the device that runs them.

A step moves nothing but its token and its logits between the two memories, however long the rows are. What happens
rarely (a cache that grows, rows that beams exchange, beginnings that are kept) goes through the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..session import Session
from .cache import BufferSpec, SharedBufferCache
from .history import TokenIds
from .places import DeviceBuffer, Place


class DeviceCache(SharedBufferCache):
    """Keys and values of several rows on a device; see :class:`SharedBufferCache`.

    Args:
        specs: the buffers of the graph.
        num_rows: rows of the batch.
        capacity: tokens a row can hold before the buffers grow.
        session: the graph.
        place: its device.
        max_capacity: tokens a row can ever hold; None for no limit.

    Raises:
        CacheMemoryError: the buffers do not fit into the device's memory.
    """

    buffers: list[Any]

    def __init__(
        self,
        specs: Sequence[BufferSpec],
        num_rows: int,
        capacity: int,
        session: Session,
        place: Place,
        *,
        max_capacity: int | None = None,
    ) -> None:
        self._session, self._place = session, place
        self.specs = tuple(specs)
        buffers = [self._zeros(spec, num_rows, capacity) for spec in specs]
        rows = (np.zeros(num_rows, np.int32), np.zeros((num_rows, capacity), np.int64), np.zeros(num_rows, np.bool_))
        self._set(specs, buffers, *rows, max_capacity)

    def _zeros(self, spec: BufferSpec, num_rows: int, capacity: int) -> Any:
        shape = spec.shape(num_rows, capacity)
        return DeviceBuffer.zeros(self._place, self._session, spec.present_name, shape, spec.dtype)

    def _use(self, buffers: list[Any]) -> None:
        self.buffers = buffers
        self.ort_values = [buffer.value for buffer in buffers]
        self.bound_step = None

    def _reallocate(self, capacity: int) -> None:
        kept = np.arange(self.num_rows)
        self._use([self._moved(spec, old, kept, capacity) for spec, old in self._pairs()])
        self.token_ids = np.pad(self.token_ids, ((0, 0), (0, capacity - self.capacity)))

    def select(self, rows: NDArray[np.integer]) -> None:
        """Let row ``i`` become what row ``rows[i]`` was; a row may come several times, or not at all.

        Raises:
            CacheMemoryError: there are more rows than before, and the larger buffers do not fit; nothing changed.
        """
        if len(rows) == self.num_rows:
            self._permute(rows)
            return
        buffers = [self._moved(spec, old, rows, self.capacity) for spec, old in self._pairs()]
        self.lengths, self.token_ids, self.is_long = self.lengths[rows], self.token_ids[rows], self.is_long[rows]
        self._use(buffers)

    def _permute(self, rows: NDArray[np.integer]) -> None:
        changed = np.flatnonzero(rows != np.arange(self.num_rows))
        sources = rows[changed]
        for buffer in self.buffers if len(changed) else ():
            states = {int(source): buffer.row(int(source)).read() for source in set(sources.tolist())}
            for row, source in zip(changed.tolist(), sources.tolist(), strict=True):
                buffer.row(row).write(states[source])
        self.lengths[changed] = self.lengths[sources]
        self.token_ids[changed] = self.token_ids[sources]
        self.is_long[changed] = self.is_long[sources]

    def _view(self, rows: slice) -> SharedBufferCache:
        view = type(self).__new__(type(self))
        view._session, view._place = self._session, self._place
        buffers = [buffer.rows(rows.start, rows.stop - rows.start) for buffer in self.buffers]
        lengths, token_ids, is_long = self.lengths[rows], self.token_ids[rows], self.is_long[rows]
        view._set(self.specs, buffers, lengths, token_ids, is_long, self.capacity)
        return view

    def copy_row(self, row: int, length: int) -> list[NDArray[Any]]:
        """(1, heads, length, head_dim) copies in the host's memory of the first tokens of a row, one per buffer."""
        return [buffer.row(row).read()[:, :, :length] for buffer in self.buffers]

    def fill_row(self, row: int, token_ids: TokenIds, states: Sequence[NDArray[Any]], *, is_long: bool = False) -> None:
        """Let a row begin with tokens and states that :meth:`copy_row` gave; what it held is gone."""
        self.reserve(len(token_ids))
        for buffer, state in zip(self.buffers, states, strict=True):
            values = np.zeros((1, *buffer.shape[1:]), buffer.dtype)
            values[:, :, : len(token_ids)] = state[:, :, : len(token_ids)]
            buffer.row(row).write(values)
        self.lengths[row], self.is_long[row] = 0, is_long
        self.record(row, token_ids)

    def _pairs(self) -> list[tuple[BufferSpec, Any]]:
        return list(zip(self.specs, self.buffers, strict=True))

    def _moved(self, spec: BufferSpec, old: Any, rows: NDArray[np.integer], capacity: int) -> Any:
        """A new buffer that holds some rows of another one."""
        used = int(self.lengths[rows].max(initial=0))
        values = np.zeros(spec.shape(len(rows), capacity), spec.dtype)
        values[:, :, :used] = old.read()[rows, :, :used]
        new = self._zeros(spec, len(rows), capacity)
        new.write(values)
        return new
