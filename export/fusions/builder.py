"""Nodes written one after the other before another one, for rewrites that are more than a node or two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir

from .base import insert_before


class NodeBuilder:
    """Writes nodes before an anchor.

    Args:
        anchor: a node of the graph.
    """

    def __init__(self, anchor: onnx_ir.Node) -> None:
        self.anchor = anchor

    def __call__(
        self,
        op_type: str,
        inputs: Sequence[onnx_ir.Value | None],
        attributes: Mapping[str, int | float | str | list[int]] | None = None,
        domain: str = "",
    ) -> onnx_ir.Value:
        """The output of a new node."""
        node = onnx_ir.node(op_type, inputs, attributes or {}, domain=domain)
        insert_before(self.anchor, [node])
        return node.outputs[0]

    def number(self, value: float) -> onnx_ir.Value:
        """A float32 constant."""
        return self("Constant", [], {"value_float": value})

    def numbers(self, values: list[int]) -> onnx_ir.Value:
        """A list of int64 constants."""
        return self("Constant", [], {"value_ints": values})

    def capped(self, scores: onnx_ir.Value, softcap: float) -> onnx_ir.Value:
        """``softcap * tanh(scores / softcap)``."""
        cap = self.number(softcap)
        return self("Mul", [self("Tanh", [self("Div", [scores, cap])]), cap])

    def reshape(self, value: onnx_ir.Value, shape: list[int | onnx_ir.Value]) -> onnx_ir.Value:
        """Reshape to sizes of which some are computed."""
        return self("Reshape", [value, self._sizes(shape)])

    def _sizes(self, shape: list[int | onnx_ir.Value]) -> onnx_ir.Value:
        parts = [part if isinstance(part, onnx_ir.Value) else self.numbers([part]) for part in shape]
        fixed = [part for part in shape if isinstance(part, int)]
        return self.numbers(fixed) if len(fixed) == len(shape) else self("Concat", list(parts), {"axis": 0})
