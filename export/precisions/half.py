"""fp16: half the bytes. Inputs and outputs but for the cache stay float32; norms, sums and softmax compute in it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir

from headway.runtime.errors import ExportError

from ..fusions.base import CONTRIB
from .linears import drop_unused

_HALF, _FLOAT = onnx_ir.DataType.FLOAT16, onnx_ir.DataType.FLOAT
_LARGEST_HALF = float(np.finfo(np.float16).max)

# Sums, squares and exponentials leave float16's range or its precision.
_KEPT_IN_FLOAT = frozenset(
    (
        "CumSum",
        "Erf",
        "Exp",
        "InstanceNormalization",
        "LayerNormalization",
        "Log",
        "LogSoftmax",
        "LpNormalization",
        "Pow",
        "Range",
        "Reciprocal",
        "ReduceL2",
        "ReduceLogSumExp",
        "ReduceMean",
        "ReduceSum",
        "ReduceSumSquare",
        "Resize",
        "Softmax",
        "Softplus",
        "Sqrt",
        "STFT",
        "MelWeightMatrix",
        "DFT",
        "Einsum",
        "NonZero",
    )
)
# Operators whose kernels sum in float32 themselves.
_SAFE_CONTRIB = frozenset(
    (
        "GroupQueryAttention",
        "MultiHeadAttention",
        "SkipSimplifiedLayerNormalization",
        "SkipLayerNormalization",
        "RotaryEmbedding",
        "FusedMatMul",
        "Gelu",
        "FastGelu",
        "QuickGelu",
        "BiasGelu",
    )
)
_STATE_PREFIXES = ("past", "present")


def halve(model: onnx_ir.Model) -> None:
    """Turn a float32 graph into float16; changes in place.

    Raises:
        ExportError: the graph has branches or loops.
    """
    if any(True for node in model.graph if _has_subgraph(node)):
        raise ExportError("The graph has branches or loops, which the fp16 writer does not take. Leave fp16 out.")
    before = _float_values(model)
    _Halver(model, before).run()
    drop_unused(model)


def _has_subgraph(node: onnx_ir.Node) -> bool:
    return any(attribute.type in _GRAPH_ATTRIBUTES for attribute in node.attributes.values())


_GRAPH_ATTRIBUTES = (onnx_ir.AttributeType.GRAPH, onnx_ir.AttributeType.GRAPHS)


def _float_values(model: onnx_ir.Model) -> set[onnx_ir.Value]:
    """Every value of the graph that is float32, found by ONNX's own rules for types."""
    return {value for value in _typed_values(model) if value.dtype == _FLOAT}


def _typed_values(model: onnx_ir.Model) -> Iterator[onnx_ir.Value]:
    graph = model.graph
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        for output in node.outputs:
            output.type = output.type or _output_type(node, output)
            yield output


def _output_type(node: onnx_ir.Node, output: onnx_ir.Value) -> onnx_ir.TypeProtocol | None:
    """The element type of a node's output, from its inputs and attributes."""
    if node.op_type in _FIXED_TYPES:
        return onnx_ir.TensorType(_FIXED_TYPES[node.op_type])
    if node.op_type in ("Cast", "Constant", "ConstantOfShape", "RandomNormal", "EyeLike"):
        return _declared_type(node)
    if node.op_type in ("TopK", "MaxPool") and output.index() == 1:
        return onnx_ir.TensorType(onnx_ir.DataType.INT64)
    position = 1 if node.op_type == "Where" else 0
    source = node.inputs[position] if position < len(node.inputs) else None
    return onnx_ir.TensorType(source.dtype) if source is not None and source.dtype is not None else None


def _declared_type(node: onnx_ir.Node) -> onnx_ir.TypeProtocol | None:
    if "to" in node.attributes:
        return onnx_ir.TensorType(onnx_ir.DataType(node.attributes["to"].as_int()))
    if "value" in node.attributes:
        return onnx_ir.TensorType(node.attributes["value"].as_tensor().dtype)
    if any(name in node.attributes for name in ("value_int", "value_ints")):
        return onnx_ir.TensorType(onnx_ir.DataType.INT64)
    return onnx_ir.TensorType(_FLOAT)


_BOOLEAN = ("And", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Not", "Or", "Xor")
_WHOLE = ("ArgMax", "ArgMin", "NonZero", "Shape", "Size")
_FIXED_TYPES = dict.fromkeys(_BOOLEAN, onnx_ir.DataType.BOOL) | dict.fromkeys(_WHOLE, onnx_ir.DataType.INT64)


class _Halver:
    """Gives every float value a float16 form, and a float32 form where one is needed."""

    def __init__(self, model: onnx_ir.Model, floats: set[onnx_ir.Value]) -> None:
        self._model = model
        self._floats = floats
        self._casts: dict[tuple[onnx_ir.Value, onnx_ir.DataType], onnx_ir.Value] = {}
        self._halves: set[onnx_ir.Value] = set()

    def run(self) -> None:
        """Rewrite inputs, initializers, nodes and outputs."""
        graph = self._model.graph
        for value in graph.inputs:
            if value in self._floats and str(value.name).startswith(_STATE_PREFIXES):
                self._halves.add(value)
                value.dtype = _HALF
        for value in graph.initializers.values():
            if value in self._floats and _takes_half(value):
                value.const_value = _half_tensor(value)
                value.dtype = _HALF
                self._halves.add(value)
        for node in list(graph):
            self._rewrite(node)
        self._keep_outputs()

    def _rewrite(self, node: onnx_ir.Node) -> None:
        kept = _computes_in_float(node)
        wanted = _FLOAT if kept else _HALF
        for index, value in enumerate(node.inputs):
            if value is not None and value in self._floats and not _is_fixed_float(node, index):
                node.replace_input_with(index, self._as(value, wanted, node))
            elif value is not None and value in self._halves:
                node.replace_input_with(index, self._as(value, _FLOAT, node))
        if node.op_type == "Cast" and node.attributes["to"].as_int() == int(_FLOAT):
            node.attributes["to"] = onnx_ir.AttrInt64("to", int(_HALF))
        if node.op_type in ("Constant", "ConstantOfShape") and not kept:
            _halve_constant(node)
        for output in node.outputs:
            if output in self._floats:
                output.dtype = wanted
                if not kept:
                    self._halves.add(output)

    def _as(self, value: onnx_ir.Value, dtype: onnx_ir.DataType, user: onnx_ir.Node) -> onnx_ir.Value:
        """The value in a type: itself, or a cast that all users share."""
        if (dtype == _HALF) == (value in self._halves):
            return value
        key = value, dtype
        if key not in self._casts:
            cast = onnx_ir.node("Cast", [value], {"to": int(dtype)})
            cast.outputs[0].dtype = dtype
            producer = value.producer()
            if producer is not None and producer.graph is not None:
                producer.graph.insert_after(producer, cast)
            else:
                self._model.graph.insert_before(next(iter(self._model.graph)), cast)
            self._casts[key] = cast.outputs[0]
        return self._casts[key]

    def _keep_outputs(self) -> None:
        """Outputs stay float32 for whoever reads them; states are handed on as they are."""
        graph = self._model.graph
        for index, value in enumerate(list(graph.outputs)):
            if value not in self._floats or str(value.name).startswith(_STATE_PREFIXES):
                if value in self._floats and value not in self._halves:
                    self._cast_output(index, value, _HALF)
                continue
            if value in self._halves:
                self._cast_output(index, value, _FLOAT)

    def _cast_output(self, index: int, value: onnx_ir.Value, dtype: onnx_ir.DataType) -> None:
        cast = onnx_ir.node("Cast", [value], {"to": int(dtype)})
        output = cast.outputs[0]
        output.name, value.name = value.name, f"{value.name}_inner"
        output.shape, output.type = value.shape, onnx_ir.TensorType(dtype)
        self._model.graph.append(cast)
        self._model.graph.outputs[index] = output


def _computes_in_float(node: onnx_ir.Node) -> bool:
    if node.domain == CONTRIB:
        return node.op_type not in _SAFE_CONTRIB
    # A norm that is written out adds its epsilon to a mean of squares, which float16 may not hold.
    is_below_root = node.op_type == "Add" and any(user.op_type == "Sqrt" for user, _ in node.outputs[0].uses())
    return is_below_root or node.op_type in _KEPT_IN_FLOAT


def _is_fixed_float(node: onnx_ir.Node, index: int) -> bool:
    """Inputs that must be float32 whatever the others are."""
    return node.op_type == "Resize" and index > 0


def _takes_half(value: onnx_ir.Value) -> bool:
    """Whether nothing that must compute in float32 reads an initializer: norms' weights stay exact."""
    return any(not _computes_in_float(node) for node, _ in value.uses())


def _half_tensor(value: onnx_ir.Value) -> onnx_ir.TensorProtocol:
    if value.const_value is None:
        raise ValueError(f"{value.name} is no initializer")
    return onnx_ir.tensor(_half(value.const_value.numpy()), name=value.name)


def _half(array: np.ndarray) -> np.ndarray:
    """float16, with what is out of range at its ends: masks are made of the lowest float32."""
    finite = np.where(np.isinf(array), array, np.clip(array, -_LARGEST_HALF, _LARGEST_HALF))
    return finite.astype(np.float16)


def _halve_constant(node: onnx_ir.Node) -> None:
    attribute = node.attributes.get("value")
    if attribute is not None:
        tensor = attribute.as_tensor()
        if tensor.dtype == _FLOAT:
            node.attributes["value"] = onnx_ir.AttrTensor("value", onnx_ir.tensor(_half(tensor.numpy())))
    elif node.op_type == "ConstantOfShape":
        node.attributes["value"] = onnx_ir.AttrTensor("value", onnx_ir.tensor(np.zeros(1, np.float16)))
    elif "value_float" in node.attributes:
        number = np.float32(node.attributes["value_float"].as_float())
        del node.attributes["value_float"]
        node.attributes["value"] = onnx_ir.AttrTensor("value", onnx_ir.tensor(_half(np.asarray(number))))
    elif "value_floats" in node.attributes:
        numbers = np.asarray(node.attributes["value_floats"].as_floats(), np.float32)
        del node.attributes["value_floats"]
        node.attributes["value"] = onnx_ir.AttrTensor("value", onnx_ir.tensor(_half(numbers)))
