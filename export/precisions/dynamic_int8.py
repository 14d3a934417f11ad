"""int8: weights in 8 bits per output channel, activations rounded to 8 bits as they come, one scale for a whole tensor.

One scale for a tensor means that a row's answer depends, a little, on what else is in the batch: a row with larger
activations makes the steps coarser for all. q8 has no such effect and is slower on many rows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ..fusions.base import CONTRIB, add_initializer, insert_before, replace_value
from .linears import Floats, Linear, drop_unused, find_embeddings, find_linears
from .weight_only import quantize_to_8_bits

_LARGEST_CODE = 127


@dataclass(frozen=True)
class _Quantized:
    """An activation as codes, with their scale and zero point."""

    codes: onnx_ir.Value
    scale: onnx_ir.Value
    zero_point: onnx_ir.Value


def quantize_dynamically(model: onnx_ir.Model, left_out: Collection[str] = ()) -> None:
    """Multiply in 8-bit whole numbers wherever a weight is stored; changes in place.

    An activation that several layers read is quantized once. Tables of embeddings, and projections tied to them, become
    weight-only (q8): they are looked up, or applied to few rows.

    Args:
        left_out: names of weights that become weight-only too, as their activations cannot take one scale.
    """
    tables = {str(node.inputs[0].name) for node in find_embeddings(model) if node.inputs[0] is not None}
    shared: dict[onnx_ir.Value, _Quantized] = {}
    for linear in find_linears(model):
        if linear.name not in left_out and linear.name not in tables:
            _replace(linear, shared)
    quantize_to_8_bits(model, tables | set(left_out))
    model.opset_imports[CONTRIB] = 1
    drop_unused(model)


def rounded_per_channel(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Codes (out, in) int8 and scales (out,) float32 of a weight, symmetric about zero."""
    scales = np.maximum(np.abs(weight).max(axis=1), np.float32(1e-12)) / _LARGEST_CODE
    codes = np.clip(np.rint(weight / scales[:, None]), -_LARGEST_CODE, _LARGEST_CODE).astype(np.int8)
    return codes, scales.astype(np.float32)


def rounded_activations(rows: Floats) -> Floats:
    """What DynamicQuantizeLinear makes of activations, as float32 again."""
    low, high = min(float(rows.min()), 0.0), max(float(rows.max()), 0.0)
    scale = (high - low) / 255 or 1.0
    zero_point = np.clip(np.rint(-low / scale), 0, 255)
    steps = np.clip(np.rint(rows / scale) + zero_point, 0, 255) - zero_point
    return (steps * scale).astype(np.float32)


def _replace(linear: Linear, shared: dict[onnx_ir.Value, _Quantized]) -> None:
    quantized = shared.get(linear.activation) or _quantize(linear)
    shared[linear.activation] = quantized
    codes, scales = rounded_per_channel(linear.weight_values())
    stored = np.ascontiguousarray(codes.T)  # (in, out)
    weight = add_initializer(linear.node, f"{linear.name}_int8", onnx_ir.tensor(stored))
    weight_scales = add_initializer(linear.node, f"{linear.name}_scales", onnx_ir.tensor(scales))
    product = onnx_ir.node(
        "MatMulIntegerToFloat",
        [
            quantized.codes,
            weight,
            quantized.scale,
            weight_scales,
            quantized.zero_point,
            *([None, linear.bias] if linear.bias is not None else []),
        ],
        domain=CONTRIB,
    )
    insert_before(linear.node, [product])
    replace_value(linear.node.outputs[0], product.outputs[0])


def _quantize(linear: Linear) -> _Quantized:
    node = onnx_ir.node("DynamicQuantizeLinear", [linear.activation], num_outputs=3)
    insert_before(linear.node, [node])
    return _Quantized(*node.outputs)
