"""Weights as the checkpoint has them, (out, in): one token's product reads them where they lie on disk.

Multiplying one row by an (out, in) weight is a dot product with each of its rows, read once from front to back: about a
tenth slower than on packed weights, and without a copy of them. So a session can open by mapping the file and run its
first steps on it. Many rows read plain weights much more slowly than packed ones, so the runtime packs them once rows
run side by side or steps become many.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir

from .base import CONTRIB, Fusion, add_initializer, insert_before, producer, replace_value


@dataclass
class _Product:
    node: onnx_ir.Node
    weight: onnx_ir.Value
    is_transposed: bool


class OutInWeight(Fusion[_Product]):
    """MatMul(x, weight) → FusedMatMul(x, weight as (out, in), transB=1); so too where a Transpose stands between."""

    name = "weights read in place"
    root = "MatMul"

    def pattern(self, node: onnx_ir.Node) -> _Product | None:
        """A product with a two-dimensional float32 initializer, or with the transpose of one."""
        transpose = producer(node.inputs[1], "Transpose")
        weight = transpose.inputs[0] if transpose is not None else node.inputs[1]
        if weight is None or not weight.is_initializer() or weight.const_value is None:
            return None
        tensor = weight.const_value
        if len(tensor.shape) != 2 or tensor.dtype != onnx_ir.DataType.FLOAT:
            return None
        return _Product(node, weight, transpose is not None)

    def check(self, match: _Product) -> str | None:
        """Refuse weights that are read as they are by something else: they would be stored twice."""
        is_shared = not match.is_transposed and len(match.weight.uses()) > 1
        return "a weight has several readers" if is_shared else None

    def rewrite(self, match: _Product) -> None:
        """Store the weight transposed, and let the product transpose."""
        weight = match.weight if match.is_transposed else _transposed(match.node, match.weight)
        product = onnx_ir.node("FusedMatMul", [match.node.inputs[0], weight], {"transB": 1}, domain=CONTRIB)
        insert_before(match.node, [product])
        replace_value(match.node.outputs[0], product.outputs[0])


def _transposed(anchor: onnx_ir.Node, weight: onnx_ir.Value) -> onnx_ir.Value:
    tensor = weight.const_value
    if tensor is None:
        return weight
    name = f"{weight.name}_out_in"
    transposed = onnx_ir.LazyTensor(
        lambda: onnx_ir.tensor(np.ascontiguousarray(tensor.numpy().T)),
        dtype=tensor.dtype,
        shape=onnx_ir.Shape(tuple(reversed(tensor.shape.numpy()))),
        name=name,
    )
    return add_initializer(anchor, name, transposed)
