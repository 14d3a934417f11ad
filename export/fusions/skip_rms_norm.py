"""A residual addition and the RMSNorm after it as one operator that gives both results."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir

from .base import CONTRIB, Fusion, insert_before, producer, replace_value, same_shape


@dataclass
class _ResidualNorm:
    addition: onnx_ir.Node
    norm: onnx_ir.Node


class SkipRMSNorm(Fusion[_ResidualNorm]):
    """SimplifiedLayerNormalization(Add(a, b)) → SkipSimplifiedLayerNormalization(a, b)."""

    name = "residual in RMSNorm"
    root = "SimplifiedLayerNormalization"

    def pattern(self, node: onnx_ir.Node) -> _ResidualNorm | None:
        """A norm over the last axis of a sum."""
        addition = producer(node.inputs[0], "Add")
        return _ResidualNorm(addition, node) if addition is not None else None

    def check(self, match: _ResidualNorm) -> str | None:
        """Refuse sums that broadcast and ranks the operator does not take."""
        one, other = (value.shape if value is not None else None for value in match.addition.inputs)
        if not same_shape(one, other) or one is None:
            return "the sum broadcasts or its shapes are not known"
        return None if len(one) in (2, 3) else f"the sum has {len(one)} axes"

    def rewrite(self, match: _ResidualNorm) -> None:
        """Compute norm and sum in one node, where the sum was computed."""
        epsilon = match.norm.attributes["epsilon"].as_float()
        fused = onnx_ir.node(
            "SkipSimplifiedLayerNormalization",
            [*match.addition.inputs, match.norm.inputs[1]],
            {"epsilon": epsilon},
            domain=CONTRIB,
            num_outputs=4,
            version=1,
        )
        insert_before(match.addition, [fused])
        replace_value(match.norm.outputs[0], fused.outputs[0])
        replace_value(match.addition.outputs[0], fused.outputs[3])
        for unused, name in ((fused.outputs[1], ""), (fused.outputs[2], "")):
            unused.name = name
