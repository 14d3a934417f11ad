"""The linear layers and embeddings of a graph, in whichever operator tracing left them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ..fusions.base import CONTRIB, only_user, producer

Floats = NDArray[np.float32]

# Smaller weights are not worth an operator of their own.
_LEAST_ELEMENTS = 1 << 10
_LEAST_CHANNELS = 16


@dataclass(frozen=True)
class Linear:
    """A product of activations with a stored weight.

    Args:
        node: MatMul, FusedMatMul or Gemm.
        weight: the initializer.
        is_out_in: the initializer is (out, in); otherwise (in, out).
        bias: what Gemm adds.
    """

    node: onnx_ir.Node
    weight: onnx_ir.Value
    is_out_in: bool
    bias: onnx_ir.Value | None = None

    @property
    def activation(self) -> onnx_ir.Value:
        """(…, in), what is multiplied; read when it is asked for, as the layer before may have been replaced."""
        return _present(self.node.inputs[0])

    @property
    def name(self) -> str:
        """The weight's name."""
        return str(self.weight.name)

    @property
    def out_features(self) -> int:
        """Channels that come out."""
        return _shape(self.weight)[0 if self.is_out_in else 1]

    @property
    def in_features(self) -> int:
        """Channels that go in."""
        return _shape(self.weight)[1 if self.is_out_in else 0]

    def weight_values(self) -> Floats:
        """(out, in) float32."""
        values = stored_values(self.weight)
        return values if self.is_out_in else np.ascontiguousarray(values.T)


def stored_values(value: onnx_ir.Value) -> Floats:
    """What an initializer holds, as float32."""
    if value.const_value is None:
        raise ValueError(f"{value.name} is no initializer")
    return np.asarray(value.const_value.numpy(), dtype=np.float32)


def find_linears(model: onnx_ir.Model) -> list[Linear]:
    """Every product with a stored float32 weight that is worth quantizing, in the graph's order."""
    found = (_MATCHERS[node.op_type](node) for node in model.graph if node.op_type in _MATCHERS)
    return [linear for linear in found if linear is not None and linear.in_features >= _LEAST_CHANNELS]


def bias_addition(linear: Linear) -> tuple[onnx_ir.Node | None, onnx_ir.Value | None]:
    """The node that adds a layer's bias, and the bias (out,); no node where the product adds it itself."""
    addition = only_user(linear.node.outputs[0])
    if linear.bias is not None or addition is None or addition.op_type != "Add":
        return None, linear.bias
    for value in addition.inputs:
        if value is not None and value.is_initializer() and _shape(value) == (linear.out_features,):
            return addition, value
    return None, None


def split_widths(node: onnx_ir.Node | None) -> tuple[int, ...]:
    """Sizes of the parts of a Split of the last axis; empty for anything else."""
    if node is None or node.op_type != "Split" or len(node.inputs) < 2 or _attribute(node, "axis", 0) != -1:
        return ()
    sizes = node.inputs[1]
    return tuple(sizes.const_value.numpy().tolist()) if sizes is not None and sizes.const_value is not None else ()


def find_embeddings(model: onnx_ir.Model) -> list[onnx_ir.Node]:
    """Every Gather of rows of a stored float32 table that is worth quantizing."""
    return [
        node
        for node in model.graph
        if node.op_type == "Gather" and _attribute(node, "axis", 0) == 0 and is_stored_matrix(node.inputs[0])
    ]


def table_names(model: onnx_ir.Model) -> set[str]:
    """Names of the tables whose rows are looked up."""
    return {str(node.inputs[0].name) for node in find_embeddings(model) if node.inputs[0] is not None}


def is_stored_matrix(value: onnx_ir.Value | None) -> bool:
    """Whether a value is a large enough float32 initializer with two axes."""
    if value is None or not value.is_initializer() or value.const_value is None:
        return False
    shape = _shape(value)
    return value.dtype == onnx_ir.DataType.FLOAT and len(shape) == 2 and shape[0] * shape[1] >= _LEAST_ELEMENTS


def _matmul(node: onnx_ir.Node) -> Linear | None:
    weight = node.inputs[1]
    transpose = producer(weight, "Transpose")
    if transpose is not None and is_stored_matrix(transpose.inputs[0]):
        return Linear(node, _present(transpose.inputs[0]), is_out_in=True)
    return Linear(node, _present(weight), is_out_in=False) if is_stored_matrix(weight) else None


def _fused_matmul(node: onnx_ir.Node) -> Linear | None:
    plain = all(_attribute(node, name, 0) == 0 for name in ("transA", "transBatchA", "transBatchB"))
    alpha = node.attributes.get("alpha")
    if node.domain != CONTRIB or not plain or (alpha is not None and alpha.as_float() != 1):
        return None
    if not is_stored_matrix(node.inputs[1]):
        return None
    transposed = _attribute(node, "transB", 0) == 1
    return Linear(node, _present(node.inputs[1]), is_out_in=transposed)


def _gemm(node: onnx_ir.Node) -> Linear | None:
    factors = [node.attributes[name].as_float() for name in ("alpha", "beta") if name in node.attributes]
    if _attribute(node, "transA", 0) or any(factor != 1 for factor in factors) or not is_stored_matrix(node.inputs[1]):
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    transposed = _attribute(node, "transB", 0) == 1
    return Linear(node, _present(node.inputs[1]), is_out_in=transposed, bias=bias)


_MATCHERS: dict[str, Callable[[onnx_ir.Node], Linear | None]] = {
    "MatMul": _matmul,
    "FusedMatMul": _fused_matmul,
    "Gemm": _gemm,
}


def unused_initializers(model: onnx_ir.Model) -> Iterator[str]:
    """Names of initializers that nothing reads any more."""
    for name, value in model.graph.initializers.items():
        if not value.uses() and not value.is_graph_output():
            yield name


def drop_unused(model: onnx_ir.Model) -> None:
    """Remove nodes and initializers that nothing reads any more."""
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    RemoveUnusedNodesPass()(model)
    for name in list(unused_initializers(model)):
        del model.graph.initializers[name]


def _present(value: onnx_ir.Value | None) -> onnx_ir.Value:
    if value is None:
        raise ValueError("a product lacks an input")
    return value


def _shape(value: onnx_ir.Value) -> tuple[int, ...]:
    return tuple(int(axis) for axis in value.const_value.shape.numpy()) if value.const_value is not None else ()


def _attribute(node: onnx_ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return default if attribute is None else int(attribute.as_int())
