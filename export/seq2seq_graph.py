"""The traced graphs of an encoder-decoder cleaned up, named, and written with every weight stored once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx_ir
from onnx_ir.passes.common import CommonSubexpressionEliminationPass, RemoveUnusedNodesPass
from onnxscript.optimizer import fold_constants

from headway.runtime.artifact import Component, onnx_file_name

from .fusions.base import Fusion, apply_fusions
from .fusions.cross_attention import DOMAIN, CrossAttention
from .fusions.linear import TransposedWeight
from .fusions.reshape import ConstantReshape, FullSlice, Identity, InverseTransposes, SameShapeReshape, SameTypeCast
from .fusions.tied import TiedProjection
from .graph import finish_graph, operator_counts, tensor_specs
from .operators import ONNX_OPSET
from .seq2seq_spec import MaskSource, Seq2SeqSpec

BATCH, ENCODER_BATCH = "batch_size", "encoder_batch_size"
ENCODER_LENGTH, DECODER_LENGTH = "encoder_sequence_length", "decoder_sequence_length"
PAST_LENGTH, PRESENT_LENGTH = "past_decoder_sequence_length", "total_decoder_sequence_length"

# Constants up to this many elements are computed at export time; weights are never touched.
_FOLDED_ELEMENTS = 1024
# Smaller tensors stay in the graph, where shape inference reads them.
_LEAST_EXTERNAL_BYTES = 1024
# What memory mapping asks of offsets on every platform; small tensors are not worth the gap.
_ALIGNMENT_BYTES = 1 << 16
_LEAST_ALIGNED_BYTES = 1 << 20
_SMALL_ALIGNMENT_BYTES = 64
# Products, a mask, softmax.
_MOST_STEPS_TO_SOFTMAX = 3


def _simplify(graph: onnx_ir.Model) -> None:
    """Drop what tracing left behind and let projections multiply by their weights directly; changes in place."""
    RemoveUnusedNodesPass()(graph)
    apply_fusions(graph, [CrossAttention()])
    graph.opset_imports.pop(DOMAIN, None)
    fold_constants(
        graph, onnx_shape_inference=False, input_size_limit=_FOLDED_ELEMENTS, output_size_limit=_FOLDED_ELEMENTS
    )
    tidying: list[Fusion[Any]] = [
        Identity(),
        SameTypeCast(),
        FullSlice(),
        ConstantReshape(),
        InverseTransposes(),
        ConstantReshape(),
    ]
    apply_fusions(graph, [*tidying, SameShapeReshape(), TransposedWeight(), TiedProjection(), Identity()])
    CommonSubexpressionEliminationPass()(graph)


def finish_encoder(graph: onnx_ir.Model, spec: Seq2SeqSpec) -> onnx_ir.Model:
    """Clean the encoder up and name its axes and outputs; changes in place."""
    _simplify(graph)
    if spec.mask is MaskSource.INPUT:
        return finish_graph(graph, spec.encoder_axes, spec.encoder_outputs)
    outputs = zip(spec.encoder_outputs, graph.graph.outputs, strict=True)
    axes = {name: _encoder_output_axes(value) for name, value in outputs}
    return finish_graph(graph, spec.encoder_axes, spec.encoder_outputs, axes)


def _encoder_output_axes(value: onnx_ir.Value) -> tuple[str | int, ...]:
    """Positions are counted in words; tracing counts them in frames of the input."""
    shape = [axis if isinstance(axis, int) else "" for axis in value.shape or ()]
    length_axis = 2 if len(shape) == 4 else 1
    shape[0], shape[length_axis] = BATCH, shape[length_axis] or ENCODER_LENGTH
    return tuple(shape)


def finish_decoder(graph: onnx_ir.Model, spec: Seq2SeqSpec) -> onnx_ir.Model:
    """Clean the decoder up and name its axes and outputs; changes in place.

    Where the encoder's rows have an axis of their own, several decoder rows may share one of them.
    """
    _simplify(graph)
    ids, cross = (graph.graph.inputs[index].shape for index in (0, -1))
    encoder_batch = BATCH if str(ids[0]) == str(cross[0]) else ENCODER_BATCH  # type: ignore[index]
    length = "" if isinstance(ids[1], int) else DECODER_LENGTH  # type: ignore[index]
    fixed = {"input_ids": (BATCH, length), "encoder_attention_mask": (encoder_batch, ENCODER_LENGTH)}
    states = {"decoder": (BATCH, "", PAST_LENGTH, ""), "encoder": (encoder_batch, "", ENCODER_LENGTH, "")}
    axes = {name: fixed.get(name) or states[name.split(".")[2]] for name in spec.decoder_inputs}
    finish_graph(graph, axes, spec.decoder_outputs)
    for value in graph.graph.outputs[1:]:
        batch, heads, _, head_dim = value.shape  # type: ignore[misc]
        value.shape = onnx_ir.Shape([batch, heads, PRESENT_LENGTH, head_dim])
    if spec.gives_cross_attentions:
        _give_cross_attentions(graph, spec, encoder_batch)
    return graph


def _give_cross_attentions(graph: onnx_ir.Model, spec: Seq2SeqSpec, batch: str) -> None:
    """Make outputs of the weights that cross-attention computes anyway, for telling when a token was said.

    They are (encoder batch, heads, decoder rows per input * decoder sequence, encoder sequence); a graph in which they
    are not found stays without.
    """
    keys = {str(value.name): value for value in graph.graph.inputs}
    found = [_weights_of(keys[f"past_key_values.{layer}.encoder.key"]) for layer in spec.encoder_states]
    for layer, weights in zip(spec.encoder_states, found, strict=True):
        if weights is None or None in found:
            return
        weights.name = f"cross_attentions.{layer}"
        weights.type = onnx_ir.TensorType(onnx_ir.DataType.FLOAT)
        heads = keys[f"past_key_values.{layer}.encoder.key"].shape[1]  # type: ignore[index]
        weights.shape = onnx_ir.Shape([batch, heads, f"{DECODER_LENGTH}_of_rows", ENCODER_LENGTH])
        graph.graph.outputs.append(weights)


def _weights_of(key: onnx_ir.Value) -> onnx_ir.Value | None:
    """The softmax of the scores that a key is multiplied for."""
    value = key
    for _ in range(_MOST_STEPS_TO_SOFTMAX):
        nodes = [node for node, _ in value.uses() if node.op_type in ("FusedMatMul", "Add", "Softmax")]
        if len(nodes) != 1:
            return None
        value = nodes[0].outputs[0]
        if nodes[0].op_type == "Softmax":
            return value
    return None


def write_graphs(graphs: Mapping[str, onnx_ir.Model], folder: Path, dtype: str) -> list[Path]:
    """Write graphs beside one file of weights that they share; a weight that several hold is stored once.

    Args:
        graphs: component → graph.
        folder: the artifact.

    Returns:
        The files written, the weights last.
    """
    data = folder / f"{onnx_file_name('model', dtype)}_data"
    data.parent.mkdir(parents=True, exist_ok=True)
    files = []
    with data.open("wb") as stream:
        weights = _Weights(stream, data)
        for component, graph in graphs.items():
            files.append(folder / onnx_file_name(component, dtype))
            with weights.moved_out(graph.graph.initializers.values()):
                onnx_ir.save(graph, files[-1])
    return [*files, data]


class _Weights:
    """A file of weights that knows what it holds, by content."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._offsets: dict[bytes, int] = {}

    @contextmanager
    def moved_out(self, values: Iterable[onnx_ir.Value]) -> Iterator[None]:
        """Let initializers refer to this file inside the block."""
        originals = {value: value.const_value for value in values}
        for value in originals:
            tensor = value.const_value
            if tensor is None or tensor.nbytes < _LEAST_EXTERNAL_BYTES:
                continue
            value.const_value = onnx_ir.ExternalTensor(
                self._path.name,
                self._store(tensor),
                tensor.nbytes,
                tensor.dtype,
                shape=tensor.shape,  # type: ignore[arg-type]
                name=str(value.name),
                base_dir=self._path.parent,
            )
        try:
            yield
        finally:
            for value, tensor in originals.items():
                value.const_value = tensor

    def _store(self, tensor: onnx_ir.TensorProtocol) -> int:
        content = np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8).data
        key = hashlib.sha256(content).digest()
        if key not in self._offsets:
            alignment = _ALIGNMENT_BYTES if content.nbytes >= _LEAST_ALIGNED_BYTES else _SMALL_ALIGNMENT_BYTES
            self._stream.write(b"\0" * (-self._stream.tell() % alignment))
            self._offsets[key] = self._stream.tell()
            self._stream.write(content)
        return self._offsets[key]


def describe_component(graph: onnx_ir.Model, component: str, dtype: str) -> Component:
    """What the manifest says about a graph."""
    return Component(
        file=onnx_file_name(component, dtype),
        inputs=tensor_specs(graph.graph.inputs),
        outputs=tensor_specs(graph.graph.outputs),
        opset=ONNX_OPSET,
        operators=operator_counts(graph),
    )
