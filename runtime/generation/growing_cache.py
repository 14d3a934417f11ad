"""States of a graph that returns them anew, for rows of different lengths side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..providers import import_onnxruntime
from .graph_states import StateSpec
from .history import TokenIds
from .memory import require_memory


class GrowingCache:
    """States of several rows, and which of their columns hold a token of which row.

    Args:
        specs: what the graph keeps.
        num_rows: rows of the batch.
        capacity: how many tokens a row is going to hold; more fit as well.

    Raises:
        CacheMemoryError: so many tokens would not fit into memory.
    """

    def __init__(self, specs: Sequence[StateSpec], num_rows: int, capacity: int = 0) -> None:
        _require_memory(specs, num_rows, capacity)
        self.capacity = capacity
        self.specs = tuple(specs)
        self.lengths = np.zeros(num_rows, dtype=np.int32)
        self.mask = np.zeros((num_rows, 0), dtype=np.int64)  # (rows, columns)
        self.columns = np.zeros((num_rows, 0), dtype=np.int64)  # token ids by column
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        self.states: list[Any] = [ort_value(spec.empty(num_rows)) for spec in specs]

    def __repr__(self) -> str:
        return f"GrowingCache(lengths={self.lengths.tolist()})"

    @property
    def num_rows(self) -> int:
        """Rows of the batch."""
        return len(self.lengths)

    @property
    def size_bytes(self) -> int:
        """What the states take."""
        return sum(int(state.tensor_size_in_bytes()) for state in self.states)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens of the longest row."""
        return int(self.lengths.max(initial=0))

    def row_ids(self, row: int) -> TokenIds:
        """(length,) int64: the tokens that a row holds."""
        token_ids: TokenIds = self.columns[row, self.mask[row] != 0]
        return token_ids

    def select(self, rows: NDArray[np.integer]) -> None:
        """Let row ``i`` become what row ``rows[i]`` was; a row may come several times, or not at all.

        Raises:
            CacheMemoryError: there are more rows than before, and they would not fit; nothing changed.
        """
        if np.array_equal(rows, np.arange(self.num_rows)):
            return
        if len(rows) > self.num_rows:
            _require_memory(self.specs, len(rows), max(self.capacity, self.mask.shape[1]))
        self.lengths, self.mask, self.columns = self.lengths[rows], self.mask[rows], self.columns[rows]
        self._replace(lambda spec, state: spec.select(state, rows))

    def truncate(self, row: int, length: int) -> None:
        """Forget all but the first ``length`` tokens of a row.

        Raises:
            OptionError: the graph keeps a state that cannot go back.
        """
        if length >= self.lengths[row]:
            return
        if any(spec.growing_axis is None for spec in self.specs):
            raise OptionError(
                "This model keeps a recurrent state, which cannot go back to an earlier token. "
                "Start without past_key_values, and leave out prompt_lookup_num_tokens."
            )
        self.mask[row, np.flatnonzero(self.mask[row])[length:]] = 0
        self.lengths[row] = length
        self._drop_trailing_columns()

    @classmethod
    def stacked(cls, caches: Sequence[GrowingCache]) -> GrowingCache:
        """The rows of several caches as one cache; shorter ones are padded on the left."""
        stacked = cls(caches[0].specs, len(caches))
        stacked.lengths = np.concatenate([cache.lengths for cache in caches])
        width = max(cache.mask.shape[1] for cache in caches)
        stacked.mask = np.concatenate([_left_padded(cache.mask, width, 1) for cache in caches])
        stacked.columns = np.concatenate([_left_padded(cache.columns, width, 1) for cache in caches])
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        for index, spec in enumerate(stacked.specs):
            states = [_left_padded(cache.states[index].numpy(), width, spec.growing_axis) for cache in caches]
            stacked.states[index] = ort_value(np.concatenate(states))
        return stacked

    def copy_from(self, other: GrowingCache) -> None:
        """Become what another cache is."""
        self.lengths, self.mask, self.columns, self.states = other.lengths, other.mask, other.columns, other.states

    def only(self, row: int) -> GrowingCache:
        """A copy that holds one row."""
        one = GrowingCache(self.specs, self.num_rows)
        one.copy_from(self)
        one.select(np.array([row]))
        return one

    def without_padding(self) -> GrowingCache:
        """This cache without the columns that hold no row's token."""
        self._keep_columns(np.flatnonzero(self.mask.any(axis=0)))
        return self

    def _drop_trailing_columns(self) -> None:
        used = np.flatnonzero(self.mask.any(axis=0))
        self._keep_columns(np.arange(int(used[-1]) + 1 if len(used) else 0))

    def _keep_columns(self, columns: NDArray[np.integer]) -> None:
        if len(columns) == self.mask.shape[1]:
            return
        self.mask, self.columns = self.mask[:, columns], self.columns[:, columns]
        self._replace(
            lambda spec, state: (
                state if spec.growing_axis is None else np.ascontiguousarray(np.take(state, columns, spec.growing_axis))
            )
        )

    def _replace(self, change: Any) -> None:
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        pairs = zip(self.specs, self.states, strict=True)
        self.states = [ort_value(change(spec, state.numpy())) for spec, state in pairs]


def _require_memory(specs: Sequence[StateSpec], num_rows: int, capacity: int) -> None:
    needed = sum(spec.size_bytes(num_rows, capacity) for spec in specs)
    require_memory(needed, f"The KV cache for {num_rows} x {capacity} tokens")


def _left_padded(array: NDArray[Any], width: int, axis: int | None) -> NDArray[Any]:
    """Zeros before the entries of an axis, up to ``width`` of them; None for an axis leaves the array as it is."""
    if axis is None:
        return array
    widths = [(width - array.shape[axis], 0) if index == axis else (0, 0) for index in range(array.ndim)]
    return np.pad(array, widths)
