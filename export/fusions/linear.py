"""Weights of linear layers as ONNX multiplies by them: (in, out), written transposed, never held twice in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir

from .base import Fusion, add_initializer


@dataclass
class _TransposedWeight:
    transpose: onnx_ir.Node
    weight: onnx_ir.Value


class TransposedWeight(Fusion[_TransposedWeight]):
    """Transpose(weight) → a stored (in, out) weight, transposed while it is written to disk.

    A weight that something else reads too (an embedding tied to the output projection) stays as it is, stored once.
    """

    name = "transposed weight"
    root = "Transpose"

    def pattern(self, node: onnx_ir.Node) -> _TransposedWeight | None:
        """A transpose of a two-dimensional initializer."""
        weight = node.inputs[0]
        if weight is None or not weight.is_initializer() or weight.const_value is None:
            return None
        order = node.attributes.get("perm")
        is_swap = order is None or list(order.as_ints()) == [1, 0]
        return _TransposedWeight(node, weight) if len(weight.const_value.shape) == 2 and is_swap else None

    def check(self, match: _TransposedWeight) -> str | None:
        """Refuse weights with another reader."""
        others = [node for node, _ in match.weight.uses() if node.op_type != "Transpose"]
        return "the weight is tied" if others else None

    def rewrite(self, match: _TransposedWeight) -> None:
        """Store the transposed weight."""
        weight, tensor = match.weight, match.weight.const_value
        if tensor is None:
            return
        transposed = onnx_ir.LazyTensor(
            lambda: onnx_ir.tensor(np.ascontiguousarray(tensor.numpy().T)),
            dtype=tensor.dtype,
            shape=onnx_ir.Shape(tuple(reversed(tensor.shape.numpy()))),
            name=f"{weight.name}_transposed",
        )
        value = add_initializer(match.transpose, f"{weight.name}_transposed", transposed)
        onnx_ir.convenience.replace_all_uses_with(match.transpose.outputs[0], value)
