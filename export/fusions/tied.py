"""An output projection tied to the embedding: multiplied transposed, so that the weight is stored and loaded once."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir

from .base import CONTRIB, Fusion, insert_before, producer, replace_value


@dataclass
class _TiedProjection:
    product: onnx_ir.Node
    weight: onnx_ir.Value


class TiedProjection(Fusion[_TiedProjection]):
    """MatMul(x, Transpose(weight)) → FusedMatMul(x, weight, transB=1).

    Left as it is, ONNX Runtime would fold the transpose while it loads and hold the weight twice.
    """

    name = "tied projection"
    root = "MatMul"

    def pattern(self, node: onnx_ir.Node) -> _TiedProjection | None:
        """A product with a transposed two-dimensional initializer."""
        transpose = producer(node.inputs[1], "Transpose")
        weight = transpose.inputs[0] if transpose is not None else None
        if weight is None or not weight.is_initializer() or weight.const_value is None:
            return None
        return _TiedProjection(node, weight) if len(weight.const_value.shape) == 2 else None

    def rewrite(self, match: _TiedProjection) -> None:
        """Let the product transpose."""
        product = onnx_ir.node("FusedMatMul", [match.product.inputs[0], match.weight], {"transB": 1}, domain=CONTRIB)
        insert_before(match.product, [product])
        replace_value(match.product.outputs[0], product.outputs[0])
