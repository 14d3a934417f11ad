"""A traced graph made presentable: axes named in words, tracing leftovers gone, inputs all there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx_ir

from headway.runtime.artifact import EXTERNAL_DATA_THRESHOLD_BYTES, MAPPED_DATA_THRESHOLD_BYTES, TensorSpec
from headway.runtime.errors import ExportError
from headway.runtime.manifest import reads_weights_in_place

from .onnx_writer import write_onnx


def finish_graph(
    graph: onnx_ir.Model,
    axes: Mapping[str, Sequence[str]],
    outputs: Sequence[str],
    output_axes: Mapping[str, Sequence[str | int]] | None = None,
) -> onnx_ir.Model:
    """Name axes and outputs, and drop what tracing left behind.

    Args:
        axes: input name → names of its axes; an empty name leaves an axis as it is.
        outputs: names of the outputs, in order.
        output_axes: output name → its axes; where it is not given, they follow from the inputs'.

    Raises:
        ExportError: the graph lost an input, or baked in a dynamic axis.
    """
    _require_inputs(graph, axes)
    symbols = _name_input_axes(graph, axes)
    for value, name in zip(graph.graph.outputs, outputs, strict=True):
        value.name = name
        if output_axes and name in output_axes:
            value.shape = onnx_ir.Shape(list(output_axes[name]))
        elif value.shape is not None:
            value.shape = onnx_ir.Shape([_named(axis, symbols) for axis in value.shape])
    _drop_leftovers(graph)
    return graph


def drop_unused_inputs(graph: onnx_ir.Model) -> None:
    """Remove inputs that no node reads any more, such as positions that an operator counts itself."""
    inputs = graph.graph.inputs
    for value in list(inputs):
        if not value.uses() and not value.is_graph_output():
            inputs.remove(value)


def tensor_specs(values: Sequence[onnx_ir.Value]) -> tuple[TensorSpec, ...]:
    """Names, numpy dtypes and axes of graph inputs or outputs."""
    return tuple(
        TensorSpec(str(value.name), _dtype_name(value), tuple(_axis(axis) for axis in value.shape or ()))
        for value in values
    )


def operator_counts(graph: onnx_ir.Model) -> dict[str, int]:
    """Operator → how many nodes, most frequent first; operators outside the ONNX domain carry theirs."""
    counts = Counter(
        f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        for subgraph in graph.graphs()
        for node in subgraph
    )
    return dict(counts.most_common())


def weights_size_bytes(graph: onnx_ir.Model) -> int:
    """Bytes of all initializers."""
    tensors = (value.const_value for value in graph.graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def save_graph(graph: onnx_ir.Model, path: Path) -> list[Path]:
    """Write the graph, with its weights beside it in ``.onnx_data`` where they pass 1 GiB.

    Those of a graph that reads them in place lie beside it from 128 MiB: so they can be mapped.

    Returns:
        The files written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    is_mapped = reads_weights_in_place(operator_counts(graph))
    if weights_size_bytes(graph) <= (MAPPED_DATA_THRESHOLD_BYTES if is_mapped else EXTERNAL_DATA_THRESHOLD_BYTES):
        write_onnx(graph, path)
        return [path]
    data_name = f"{path.name}_data"
    onnx_ir.save(graph, path, external_data=data_name)
    return [path, path.with_name(data_name)]


def _require_inputs(graph: onnx_ir.Model, axes: Mapping[str, Sequence[str]]) -> None:
    names = [value.name for value in graph.graph.inputs]
    lost = [name for name in axes if name not in names]
    if lost or len(names) != len(axes):
        raise ExportError(f"The traced graph takes {', '.join(map(str, names))}; {', '.join(axes)} were given.")


def _name_input_axes(graph: onnx_ir.Model, axes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    symbols: dict[str, str] = {}
    for value in graph.graph.inputs:
        names = axes[str(value.name)]
        shape = list(value.shape or ())
        fixed = [name for name, axis in zip(names, shape, strict=True) if name and isinstance(axis, int)]
        if fixed:
            raise ExportError(f"The traced graph fixed {', '.join(fixed)} of {value.name}: {value.shape}.")
        symbols.update({str(axis.value): name for axis, name in zip(shape, names, strict=True) if name})
        value.shape = onnx_ir.Shape([name or axis for axis, name in zip(shape, names, strict=True)])
    return symbols


def _named(axis: Any, symbols: Mapping[str, str]) -> str | int:
    return axis if isinstance(axis, int) else symbols.get(str(axis.value), str(axis.value))


def _drop_leftovers(graph: onnx_ir.Model) -> None:
    """Drop metadata and shapes of inner values: they name torch's symbols, and quantizers trip over them."""
    outputs = set(graph.graph.outputs)
    graph.metadata_props.clear()
    for subgraph in graph.graphs():
        subgraph.metadata_props.clear()
        for node in subgraph:
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
                if value not in outputs:
                    value.shape, value.type = None, None
    for value in (*graph.graph.inputs, *graph.graph.outputs, *graph.graph.initializers.values()):
        value.metadata_props.clear()


def _dtype_name(value: onnx_ir.Value) -> str:
    return str(value.dtype.numpy()) if value.dtype is not None else "float32"


def _axis(axis: Any) -> str | int:
    return axis if isinstance(axis, int) else str(axis.value)
