"""Rows of named arrays through a graph: rows of one shape share a batch, results come back in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models import Model
from .progress import Progress

Array = NDArray[Any]
Row = Mapping[str, Array]

DEFAULT_BATCH_SIZE: Mapping[str, int] = {"cpu": 4}
"""Device → rows of a batch. On a CPU small batches stay in its caches; other devices want larger ones."""

_LARGE_BATCH_SIZE = 16


def equal_shape_batches(rows: Sequence[Row], batch_size: int) -> list[list[int]]:
    """Numbers of the rows of each batch: rows whose arrays have the same shapes, in order.

    >>> [equal_shape_batches([{"x": np.zeros(2)}, {"x": np.zeros(3)}, {"x": np.zeros(2)}], 8)]
    [[[0, 2], [1]]]
    """
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(tuple((name, values.shape) for name, values in row.items()), []).append(index)
    return [
        group[start : start + batch_size] for group in groups.values() for start in range(0, len(group), batch_size)
    ]


def run_rows(
    model: Model,
    rows: Sequence[Row],
    output_names: Sequence[str] | None,
    batch_size: int | None,
    progress: Progress,
    shared: Row | None = None,
) -> Iterator[tuple[list[int], list[Array]]]:
    """Yield the numbers of the rows of each batch with their outputs, in float32 where the graph computes in float16.

    Args:
        model: whose graph runs.
        rows: arrays of each row, by the graph's names and without a batch axis.
        output_names: outputs to compute; None takes all.
        batch_size: most rows of a batch; None takes what suits the device.
        progress: told of each batch.
        shared: arrays that go along with every batch as they are.

    Raises:
        InputError: the graph does not take the rows.
    """
    size = batch_size or DEFAULT_BATCH_SIZE.get(model.device, _LARGE_BATCH_SIZE)
    for indices in equal_shape_batches(rows, size):
        inputs = {name: np.stack([rows[index][name] for index in indices]) for name in rows[indices[0]]}
        feeds = model.prepare_feeds({**inputs, **(shared or {})})
        outputs = model.session.run(feeds, output_names)
        yield indices, [output.astype(np.float32) if output.dtype == np.float16 else output for output in outputs]
        progress.advance(len(indices))


def in_order(outputs: Iterator[tuple[list[int], list[Array]]], num_rows: int) -> list[Array]:
    """First output of each row, in the order of the rows."""
    gathered: list[Array] = [np.empty(0)] * num_rows
    for indices, (first, *_) in outputs:
        for index, values in zip(indices, first, strict=True):
            gathered[index] = values
    return gathered
