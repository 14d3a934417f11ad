"""Cross-attention of decoder rows that share the encoder's keys and values, written out in ONNX operators."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir

from .base import CONTRIB, Fusion, replace_value
from .builder import NodeBuilder

DOMAIN = "headway"
OPERATOR = f"{DOMAIN}::SharedCrossAttention"


_SIZES = ("heads", "kv_heads", "key_dim", "value_dim")


@dataclass
class _CrossAttention:
    node: onnx_ir.Node

    def integer(self, name: str) -> int:
        return int(self.node.attributes[name].as_int())

    def real(self, name: str) -> float:
        return float(self.node.attributes[name].as_float())


class CrossAttention(Fusion[_CrossAttention]):
    """The operator that stands for shared cross-attention while tracing → products, one additive mask, softmax.

    Decoder rows of one input become further queries of that input, so that its keys and values are read once.
    """

    name = "cross-attention on shared rows"
    root = "SharedCrossAttention"

    def pattern(self, node: onnx_ir.Node) -> _CrossAttention | None:
        """The operator."""
        return _CrossAttention(node) if node.domain == DOMAIN else None

    def rewrite(self, match: _CrossAttention) -> None:
        """Write it out."""
        query, key, value, *mask = match.node.inputs
        heads, kv_heads, key_dim, value_dim = (match.integer(name) for name in _SIZES)
        build = NodeBuilder(match.node)
        encoder_batch = build("Shape", [key], {"start": 0, "end": 1})
        seq = build("Shape", [query], {"start": 2, "end": 3})
        # (encoder_batch, rows_per_input, heads, seq, head_dim) → (encoder_batch, kv_heads, queries, head_dim)
        split = build.reshape(query, [encoder_batch, -1, heads, seq, key_dim])
        by_head = build("Transpose", [split], {"perm": [0, 2, 1, 3, 4]})
        grouped = build.reshape(by_head, [0, kv_heads, -1, key_dim])
        scores = build("FusedMatMul", [grouped, key], {"transB": 1, "alpha": match.real("scale")}, CONTRIB)
        if "softcap" in match.node.attributes:
            scores = build.capped(scores, match.real("softcap"))
        if mask:
            scores = build("Add", [scores, mask[0]])
        weights = build("Softmax", [scores], {"axis": -1})
        attended = build("MatMul", [weights, value])
        # (encoder_batch, heads, rows_per_input, seq, head_dim) → (batch, seq, heads, head_dim)
        apart = build.reshape(attended, [0, heads, -1, seq, value_dim])
        ordered = build("Transpose", [apart], {"perm": [0, 2, 3, 1, 4]})
        output = build.reshape(ordered, [-1, seq, heads, value_dim])
        replace_value(match.node.outputs[0], output)
