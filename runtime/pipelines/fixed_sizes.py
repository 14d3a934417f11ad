"""Graphs that were exported for batches or texts of one size: rows are filled up to it, and results cut back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import TensorSpec
from ..batching import PaddedBatch

Array = NDArray[Any]


@dataclass(frozen=True)
class FixedSizes:
    """Sizes that a graph does not leave open.

    Args:
        rows: of a batch; None for any number.
        tokens: of a row; None for any number.
    """

    rows: int | None = None
    tokens: int | None = None

    @classmethod
    def of(cls, inputs: Sequence[TensorSpec]) -> FixedSizes:
        """The sizes of ``input_ids`` (batch, sequence)."""
        axes = next((spec.shape for spec in inputs if spec.name == "input_ids" and spec.rank == 2), (None, None))
        rows, tokens = (axis if isinstance(axis, int) else None for axis in axes)
        return cls(rows, tokens)

    def batch_size(self, wanted: int | None) -> int | None:
        """Most rows of a batch."""
        sizes = [size for size in (self.rows, wanted) if size is not None]
        return min(sizes) if sizes else None

    def widened(self, batch: PaddedBatch, pad_token_id: int | None) -> PaddedBatch:
        """The batch padded to the graph's own length."""
        missing = 0 if self.tokens is None else self.tokens - batch.input_ids.shape[1]
        if missing <= 0:
            return batch

        def pad(values: Array, filler: int) -> Array:
            return np.pad(values, ((0, 0), (0, missing)), constant_values=filler)

        return replace(
            batch,
            input_ids=pad(batch.input_ids, pad_token_id or 0),
            attention_mask=pad(batch.attention_mask, 0),
            token_type_ids=pad(batch.token_type_ids, 0),
        )

    def filled(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The feeds with the first row again for those that the graph's batch has more."""
        if self.rows is None:
            return dict(feeds)
        return {name: self._filled(array) for name, array in feeds.items()}

    def cut(self, output: Array, num_rows: int) -> Array:
        """The rows of an output that were asked for."""
        return output if self.rows is None else output[:num_rows]

    def _filled(self, array: Array) -> Array:
        missing = (self.rows or 0) - len(array)
        return np.concatenate([array, np.repeat(array[:1], missing, axis=0)]) if missing > 0 else array
