"""What goes into the linear layers of a graph on real inputs: the measure of what an error in a weight does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import torch
from numpy.typing import NDArray

from headway.runtime.session import Session, SessionOptions

from .linears import Floats, find_linears
from .token_weights import TokenWeights, token_weights

Feeds = Mapping[str, NDArray[Any]]
Visit = Callable[[str, Floats], None]
# Value's name → (…, channels) float32, of one run.
VisitRun = Callable[[Mapping[str, Floats]], None]


def covariances(path: Path, feeds: Sequence[Feeds]) -> dict[str, Floats]:
    """Covariance, not centred, of the activations that go into each linear layer, by what each token matters there.

    Args:
        path: the float32 graph.
        feeds: inputs of as many runs.

    Returns:
        Activation's name → (channels, channels) float32.
    """
    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}
    model = onnx_ir.load(path)
    inputs = {value.name for value in model.graph.inputs}
    weighed = {name: weights for name, weights in token_weights(model).items() if name not in inputs}
    del model

    def add(values: Mapping[str, Floats]) -> None:
        for name, weights in weighed.items():
            rows = torch.from_numpy(_weighed_rows(values[name], weights, values))
            if name not in sums:
                sums[name] = torch.zeros(rows.shape[-1], rows.shape[-1])
            # Added where they are: a sum as large as this takes longer to copy than to multiply.
            sums[name].addmm_(rows.T, rows)
            counts[name] = counts.get(name, 0) + len(rows)

    residuals = {weights.residual for weights in weighed.values() if weights.residual is not None}
    visit_runs(path, feeds, add, {*weighed, *residuals})
    return {name: (total / max(counts[name], 1)).numpy() for name, total in sums.items()}


def _weighed_rows(activations: Floats, weights: TokenWeights, values: Mapping[str, Floats]) -> Floats:
    """(tokens, channels), each token times the root of its weight."""
    rows = activations.reshape(-1, activations.shape[-1])
    roots = np.sqrt(weights.of_run(activations, values)).reshape(-1, 1)
    weighed: Floats = rows if weights.are_equal else (rows * roots).astype(np.float32)
    return weighed


def visit_activations(path: Path, feeds: Sequence[Feeds], visit: Visit, names: Sequence[str] | None = None) -> None:
    """Run a graph and hand over what goes into its linear layers, (rows, channels) float32 by name and run."""
    found = dict.fromkeys(str(linear.activation.name) for linear in find_linears(onnx_ir.load(path)))
    wanted = [name for name in found if names is None or name in names]

    def visit_each(values: Mapping[str, Floats]) -> None:
        for name, array in values.items():
            visit(name, array.reshape(-1, array.shape[-1]))

    visit_runs(path, feeds, visit_each, wanted)


def visit_runs(path: Path, feeds: Sequence[Feeds], visit: VisitRun, names: Collection[str]) -> None:
    """Run a graph and hand over values within it, all of a run at once; inputs of the graph are left out."""
    model = onnx_ir.load(path)
    values = {str(value.name): value for node in model.graph for value in node.outputs if value.name in names}
    model.graph.outputs.clear()
    for value in values.values():
        value.type = onnx_ir.TensorType(onnx_ir.DataType.FLOAT)
        value.shape = None
        model.graph.outputs.append(value)
    if not values:
        return
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".activations-") as scratch:
        probe = Path(scratch) / "model.onnx"
        onnx_ir.save(model, probe, external_data="model.onnx_data")
        del model, values
        session = Session(probe, options=SessionOptions(device="cpu"))
        for one in feeds:
            given = {name: array for name, array in one.items() if name in session.input_names}
            outputs = zip(session.output_names, session.run(given), strict=True)
            visit({name: array.astype(np.float32, copy=False) for name, array in outputs})
