"""Weights stored in the order an operator wants, rearranged while they are written to disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ..operators import WEIGHT_DOMAIN
from .base import Fusion, add_initializer

Weight = NDArray[Any]


def _interleaved_halves(weight: Weight) -> Weight:
    """Rows 0, n/2, 1, n/2 + 1, … of every expert; biases are (experts, rows)."""
    experts, rows, *columns = weight.shape
    return weight.reshape(experts, 2, rows // 2, *columns).swapaxes(1, 2).reshape(weight.shape)


def _swapped_axes(weight: Weight) -> Weight:
    return weight.swapaxes(1, 2)


_REARRANGEMENTS: Mapping[str, Callable[[Weight], Weight]] = {
    "interleaved_halves": _interleaved_halves,
    "swapped_axes": _swapped_axes,
}


@dataclass
class _Rearranged:
    node: onnx_ir.Node
    weight: onnx_ir.Value


class RearrangedWeight(Fusion[_Rearranged]):
    """A stand-in for a rearranged weight → the weight, stored so."""

    name = "rearranged weight"
    root = ""
    domain = WEIGHT_DOMAIN

    def pattern(self, node: onnx_ir.Node) -> _Rearranged | None:
        """A stand-in on an initializer."""
        weight = node.inputs[0]
        return _Rearranged(node, weight) if weight is not None and weight.const_value is not None else None

    def rewrite(self, match: _Rearranged) -> None:
        """Store the rearranged weight."""
        tensor, rearrange = match.weight.const_value, _REARRANGEMENTS[match.node.op_type]
        output = match.node.outputs[0]
        if tensor is None or output.shape is None:
            return
        lazy = onnx_ir.LazyTensor(
            lambda: onnx_ir.tensor(np.ascontiguousarray(rearrange(tensor.numpy()))),
            dtype=tensor.dtype,
            shape=output.shape,
            name=f"{match.weight.name}_{match.node.op_type}",
        )
        value = add_initializer(match.node, f"{match.weight.name}_{match.node.op_type}", lazy)
        onnx_ir.convenience.replace_all_uses_with(output, value)
