"""Rotary embedding of query and key inside GroupQueryAttention, which knows every row's positions itself."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir

from .base import CONTRIB, Fusion, producer

# What the operator's CPU kernel takes (onnxruntime group_query_attention_helper.h).
_HEAD_DIM_MULTIPLE = 16
_HALF_ROTARY_DIM_MULTIPLE = 8
_COS, _SIN = 7, 8


@dataclass
class _RotatedAttention:
    attention: onnx_ir.Node
    rotaries: tuple[onnx_ir.Node, onnx_ir.Node]
    transposes: tuple[onnx_ir.Node, onnx_ir.Node]


class RotaryInAttention(Fusion[_RotatedAttention]):
    """RotaryEmbedding of query and of key → ``do_rotary`` of the attention that takes both.

    The operator numbers positions by ``seqlens_k``; so does whoever feeds ``position_ids`` beside it.
    """

    name = "rotary embedding in attention"
    root = "GroupQueryAttention"

    def pattern(self, node: onnx_ir.Node) -> _RotatedAttention | None:
        """Attention whose query and key are Reshape(Transpose(RotaryEmbedding(…)))."""
        reshapes = [producer(value, "Reshape") for value in node.inputs[:2]]
        transposes = [producer(reshape.inputs[0], "Transpose") if reshape else None for reshape in reshapes]
        rotaries = [
            producer(transpose.inputs[0], "RotaryEmbedding", CONTRIB) if transpose else None for transpose in transposes
        ]
        if rotaries[0] is None or rotaries[1] is None or transposes[0] is None or transposes[1] is None:
            return None
        return _RotatedAttention(node, (rotaries[0], rotaries[1]), (transposes[0], transposes[1]))

    def check(self, match: _RotatedAttention) -> str | None:
        """Refuse what the kernel does not take, and positions that are not the rows' own."""
        query, key = match.rotaries
        if list(query.inputs[1:]) != list(key.inputs[1:]) or _interleaved(query) != _interleaved(key):
            return "query and key rotate differently"
        position_ids, cos = query.inputs[1], query.inputs[2]
        if position_ids is None or not position_ids.is_graph_input():
            return "positions are computed"
        head_dim, half = query.inputs[0].shape, cos.shape if cos is not None else None  # type: ignore[union-attr]
        if head_dim is None or not isinstance(head_dim[3], int) or head_dim[3] % _HEAD_DIM_MULTIPLE:
            return f"the head size is no multiple of {_HEAD_DIM_MULTIPLE}"
        if half is None or not isinstance(half[1], int) or half[1] % _HALF_ROTARY_DIM_MULTIPLE:
            return f"half the rotary size is no multiple of {_HALF_ROTARY_DIM_MULTIPLE}"
        return None

    def rewrite(self, match: _RotatedAttention) -> None:
        """Feed the unrotated heads, and give the tables to the attention."""
        attention = match.attention
        for rotary, transpose in zip(match.rotaries, match.transposes, strict=True):
            transpose.replace_input_with(0, rotary.inputs[0])
        if len(attention.inputs) <= _SIN:
            attention.resize_inputs(_SIN + 1)
        attention.replace_input_with(_COS, match.rotaries[0].inputs[2])
        attention.replace_input_with(_SIN, match.rotaries[0].inputs[3])
        attention.attributes["do_rotary"] = onnx_ir.AttrInt64("do_rotary", 1)
        interleaved = _interleaved(match.rotaries[0])
        attention.attributes["rotary_interleaved"] = onnx_ir.AttrInt64("rotary_interleaved", interleaved)


def _interleaved(rotary: onnx_ir.Node) -> int:
    attribute = rotary.attributes.get("interleaved")
    return attribute.as_int() if attribute is not None else 0
