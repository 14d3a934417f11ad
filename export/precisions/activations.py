"""What goes into the linear layers of a graph on real inputs: the measure of what an error in a weight does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from headway.runtime.session import Session, SessionOptions

from .linears import Floats, find_linears

Feeds = Mapping[str, NDArray[Any]]
Visit = Callable[[str, Floats], None]

# Covariances that are held at a time, and activations of one run.
_BUDGET_BYTES = 1 << 30


def covariances(path: Path, feeds: Sequence[Feeds], names: Sequence[str] | None = None) -> dict[str, Floats]:
    """Covariance, not centred, of the activations that go into each linear layer.

    Args:
        path: the float32 graph.
        feeds: inputs of as many runs.
        names: activations wanted; None for those of every linear layer.

    Returns:
        Activation's name → (channels, channels) float32.
    """
    sums: dict[str, Floats] = {}
    counts: dict[str, int] = {}

    def add(name: str, rows: Floats) -> None:
        product = rows.T @ rows
        sums[name] = sums[name] + product if name in sums else product
        counts[name] = counts.get(name, 0) + len(rows)

    visit_activations(path, feeds, add, names)
    return {name: total / np.float32(max(counts[name], 1)) for name, total in sums.items()}


def activation_groups(model: onnx_ir.Model) -> Iterator[list[str]]:
    """Names of activations, grouped so that their covariances fit into memory together."""
    group: list[str] = []
    size_bytes = 0
    for name, channels in {str(linear.activation.name): linear.in_features for linear in find_linears(model)}.items():
        if group and size_bytes + 4 * channels**2 > _BUDGET_BYTES:
            yield group
            group, size_bytes = [], 0
        group.append(name)
        size_bytes += 4 * channels**2
    if group:
        yield group


def visit_activations(path: Path, feeds: Sequence[Feeds], visit: Visit, names: Sequence[str] | None = None) -> None:
    """Run a graph and hand over what goes into its linear layers, (rows, channels) float32 by name and run."""
    model = onnx_ir.load(path)
    found = {str(linear.activation.name): linear.activation for linear in find_linears(model)}
    inputs = {str(value.name) for value in model.graph.inputs}
    wanted = [name for name in found if (names is None or name in names) and name not in inputs]
    model.graph.outputs.clear()
    for name in wanted:
        found[name].type = onnx_ir.TensorType(onnx_ir.DataType.FLOAT)
        found[name].shape = None
        model.graph.outputs.append(found[name])
    if not wanted:
        return
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".activations-") as scratch:
        probe = Path(scratch) / "model.onnx"
        onnx_ir.save(model, probe, external_data="model.onnx_data")
        del model
        session = Session(probe, options=SessionOptions(device="cpu"))
        for one in feeds:
            given = {name: array for name, array in one.items() if name in session.input_names}
            for name, values in zip(session.output_names, session.run(given), strict=True):
                visit(name, values.reshape(-1, values.shape[-1]).astype(np.float32, copy=False))
