"""Arithmetic in bfloat16, which ONNX Runtime's CPU provider has none of, as float arithmetic rounded the same way."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir

from .base import Fusion, insert_before, replace_value

_ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Neg", "Abs", "Sqrt", "Exp"})


@dataclass
class _Arithmetic:
    node: onnx_ir.Node


class BFloat16Arithmetic(Fusion[_Arithmetic]):
    """Elementwise operator on bfloat16 → the operator on float, its result rounded to bfloat16.

    The result is the same: bfloat16 arithmetic is computed in float and rounded.
    """

    name = "bfloat16 arithmetic"
    root = ""

    def _is_root(self, node: onnx_ir.Node) -> bool:
        return node.domain == "" and node.op_type in _ELEMENTWISE

    def pattern(self, node: onnx_ir.Node) -> _Arithmetic | None:
        """A node that gives bfloat16."""
        return _Arithmetic(node) if node.outputs[0].dtype == onnx_ir.DataType.BFLOAT16 else None

    def rewrite(self, match: _Arithmetic) -> None:
        """Cast before and after."""
        node, output = match.node, match.node.outputs[0]
        wide = [_cast(value, onnx_ir.DataType.FLOAT) for value in node.inputs if value is not None]
        computed = onnx_ir.node(node.op_type, [cast.outputs[0] for cast in wide], version=node.version)
        rounded = _cast(computed.outputs[0], onnx_ir.DataType.BFLOAT16)
        insert_before(node, [*wide, computed, rounded])
        replace_value(output, rounded.outputs[0])


def _cast(value: onnx_ir.Value, dtype: onnx_ir.DataType) -> onnx_ir.Node:
    node = onnx_ir.node("Cast", [value], {"to": int(dtype)})
    node.outputs[0].type = onnx_ir.TensorType(dtype)
    node.outputs[0].shape = value.shape
    return node
