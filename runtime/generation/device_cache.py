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

    def _moved(self, rows: NDArray[np.integer], capacity: int) -> list[Any]:
        used = int(self.lengths[rows].max(initial=0))
        buffers = []
        for spec, old in zip(self.specs, self.buffers, strict=True):
            values = np.zeros(spec.shape(len(rows), capacity), spec.dtype)
            values[:, :, :used] = old.read()[rows, :, :used]
            new = self._zeros(spec, len(rows), capacity)
            new.write(values)
            buffers.append(new)
        return buffers

    def _copy_rows(self, sources: NDArray[np.integer], targets: NDArray[np.integer]) -> None:
        for buffer in self.buffers:
            states = {source: buffer.row(source).read() for source in set(sources.tolist())}
            for target, source in zip(targets.tolist(), sources.tolist(), strict=True):
                buffer.row(target).write(states[source])

    def _buffer_views(self, rows: slice) -> list[Any]:
        return [buffer.rows(rows.start, rows.stop - rows.start) for buffer in self.buffers]

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
