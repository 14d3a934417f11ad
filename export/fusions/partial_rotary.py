"""Rotary embedding of the first channels of each head without cutting heads apart."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir

from .base import Fusion, last_axis_slice, only_user, producer, replace_value

_LAST_AXIS = (3, -1)


@dataclass
class _PartialRotation:
    rotary: onnx_ir.Node
    concatenation: onnx_ir.Node
    states: onnx_ir.Value
    rotary_dim: int


class PartialRotary(Fusion[_PartialRotation]):
    """Concat(RotaryEmbedding(x[..., :n]), x[..., n:]) → RotaryEmbedding(x) of the first n channels."""

    name = "partial rotary embedding"
    root = "RotaryEmbedding"

    def pattern(self, node: onnx_ir.Node) -> _PartialRotation | None:
        """A rotation between a slice and a concatenation with the rest of the same heads."""
        first = last_axis_slice(producer(node.inputs[0], "Slice"))
        concatenation = only_user(node.outputs[0])
        if first is None or concatenation is None or concatenation.op_type != "Concat":
            return None
        parts = list(concatenation.inputs)
        rest = last_axis_slice(producer(parts[1], "Slice")) if len(parts) == 2 else None
        if rest is None or parts[0] is not node.outputs[0] or first.states is not rest.states:
            return None
        joins_last_axis = concatenation.attributes["axis"].as_int() in _LAST_AXIS
        if not joins_last_axis or first.start != 0 or rest.start != first.end:
            return None
        return _PartialRotation(node, concatenation, first.states, first.end)

    def check(self, match: _PartialRotation) -> str | None:
        """Refuse what does not reach to the end of the heads."""
        shape = match.states.shape
        if shape is None or len(shape) != 4 or not isinstance(shape[1], int) or not isinstance(shape[3], int):
            return "the heads' sizes are not known"
        rest = last_axis_slice(producer(match.concatenation.inputs[1], "Slice"))
        return None if rest is not None and rest.end >= shape[3] else "some channels are left out"

    def rewrite(self, match: _PartialRotation) -> None:
        """Rotate the whole heads' first channels."""
        rotary, shape = match.rotary, match.states.shape
        rotary.replace_input_with(0, match.states)
        num_heads = int(shape[1]) if shape is not None else 0
        rotary.attributes["num_heads"] = onnx_ir.AttrInt64("num_heads", num_heads)
        rotary.attributes["rotary_embedding_dim"] = onnx_ir.AttrInt64("rotary_embedding_dim", match.rotary_dim)
        rotary.outputs[0].shape = shape
        replace_value(match.concatenation.outputs[0], rotary.outputs[0])
