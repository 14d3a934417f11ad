"""Linear layers that flatten batch and sequence into one axis and unfold it again, without doing so."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir

from .base import Fusion, insert_before, only_user, producer, replace_value


@dataclass
class _FlattenedLinear:
    gemm: onnx_ir.Node
    source: onnx_ir.Value
    unfolding: onnx_ir.Node


class FlattenedLinear(Fusion[_FlattenedLinear]):
    """Reshape(Gemm(Reshape(x), W, b)) → Add(MatMul(x, W), b), where the reshapes only merge and part leading axes."""

    name = "flattened linear layer"
    root = "Gemm"

    def pattern(self, node: onnx_ir.Node) -> _FlattenedLinear | None:
        """A product of a reshaped value, reshaped again."""
        flattening, unfolding = producer(node.inputs[0], "Reshape"), only_user(node.outputs[0])
        if flattening is None or flattening.inputs[0] is None or unfolding is None or unfolding.op_type != "Reshape":
            return None
        return _FlattenedLinear(node, flattening.inputs[0], unfolding)

    def check(self, match: _FlattenedLinear) -> str | None:
        """Refuse other shapes than (…, in) to (…, out), and products that are scaled or of a transposed value."""
        before, after = match.source.shape, match.unfolding.outputs[0].shape
        weight = match.gemm.inputs[1]
        if before is None or after is None or weight is None or weight.shape is None:
            return "a shape is not known"
        if list(before[:-1]) != list(after[:-1]) or before[-1] != weight.shape[0] or after[-1] != weight.shape[1]:
            return "the reshapes do more than merge leading axes"
        return None if _is_plain(match.gemm) else "the product is scaled or transposed"

    def rewrite(self, match: _FlattenedLinear) -> None:
        """Multiply along the last axis."""
        output = match.unfolding.outputs[0]
        product = onnx_ir.node("MatMul", [match.source, match.gemm.inputs[1]])
        product.outputs[0].shape, product.outputs[0].type = output.shape, output.type
        nodes = [product]
        if len(match.gemm.inputs) > 2 and match.gemm.inputs[2] is not None:
            nodes.append(onnx_ir.node("Add", [product.outputs[0], match.gemm.inputs[2]]))
        insert_before(match.gemm, nodes)
        replace_value(output, nodes[-1].outputs[0])


def _is_plain(gemm: onnx_ir.Node) -> bool:
    neutral = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
    return all(gemm.attributes[name].value == value for name, value in neutral.items() if name in gemm.attributes)
