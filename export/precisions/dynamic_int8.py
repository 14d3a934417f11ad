"""int8: weights in 8 bits per output channel, activations rounded to 8 bits as they come, one scale for a whole tensor.

One scale for a tensor means that a row's answer depends, a little, on what else is in the batch: a row with larger
activations makes the steps coarser for all. q8 has no such effect and is slower on many rows. Where rows differ most,
behind the gates of a feed-forward layer, every row has a scale of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ..fusions.base import CONTRIB, add_initializer, insert_before, only_user, replace_value
from .gates import is_gated
from .linears import (
    Floats,
    Linear,
    bias_addition,
    drop_unused,
    find_linears,
    split_widths,
    stored_values,
    table_names,
)
from .weight_only import quantize_to_8_bits

_LARGEST_CODE = 127
# Where a row's codes have their zero: they are unsigned, as the product wants them.
_ROW_ZERO_POINT = 128
_LEAST_ROW_SCALE = 1e-20


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
    tables = table_names(model)
    shared: dict[onnx_ir.Value, _Quantized] = {}
    for linear in find_linears(model):
        if linear.name in left_out or linear.name in tables:
            continue
        if is_gated(linear.activation):
            _replace_by_rows(linear)
        else:
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


def rounded_rows(rows: Floats) -> Floats:
    """The same with a scale for each row."""
    scales = np.maximum(np.abs(rows).max(axis=-1, keepdims=True), np.float32(_LEAST_ROW_SCALE)) / _LARGEST_CODE
    rounded: Floats = (np.rint(rows / scales) * scales).astype(np.float32)
    return rounded


def _replace(linear: Linear, shared: dict[onnx_ir.Value, _Quantized]) -> None:
    """The product, the addition of its bias and its split: one operator for each part of the split."""
    quantized = shared.get(linear.activation) or _quantize(linear)
    shared[linear.activation] = quantized
    codes, scales = rounded_per_channel(linear.weight_values())
    addition, bias = bias_addition(linear)
    last = addition or linear.node
    for part in _parts(linear, last.outputs[0]):
        named = f"{linear.name}{part.suffix}"
        # (in, out), as the operator reads it.
        weight = add_initializer(last, f"{named}_int8", onnx_ir.tensor(np.ascontiguousarray(codes[part.channels].T)))
        inputs = [quantized.codes, weight, quantized.scale]
        inputs += [
            add_initializer(last, f"{named}_scales", onnx_ir.tensor(scales[part.channels])),
            quantized.zero_point,
        ]
        if bias is not None and part.suffix:
            piece = stored_values(bias)[part.channels]
            inputs += [None, add_initializer(last, f"{named}_bias", onnx_ir.tensor(piece))]
        elif bias is not None:
            inputs += [None, bias]
        product = onnx_ir.node("MatMulIntegerToFloat", inputs, domain=CONTRIB)
        insert_before(last, [product])
        replace_value(part.output, product.outputs[0])


@dataclass(frozen=True)
class _Part:
    """Some of a layer's output channels, and the value that they are."""

    channels: slice
    output: onnx_ir.Value
    suffix: str = ""


def _parts(linear: Linear, output: onnx_ir.Value) -> list[_Part]:
    """The parts that a packed projection is split into, so that none is copied; otherwise the whole.

    The activation is quantized once for all of them, which is what packing saves elsewhere.
    """
    split = only_user(output)
    widths = split_widths(split)
    if split is None or sum(widths) != linear.out_features or linear.bias is not None:
        return [_Part(slice(None), output)]
    starts = np.cumsum([0, *widths]).tolist()
    return [
        _Part(slice(start, start + width), value, f"_{index}")
        for index, (start, width, value) in enumerate(zip(starts, widths, split.outputs, strict=False))
    ]


def _quantize(linear: Linear) -> _Quantized:
    node = onnx_ir.node("DynamicQuantizeLinear", [linear.activation], num_outputs=3)
    insert_before(linear.node, [node])
    return _Quantized(*node.outputs)


def _replace_by_rows(linear: Linear) -> None:
    """The product of rows that are each brought to the same size before, and back to their own after."""
    codes, weight_scales = rounded_per_channel(linear.weight_values())

    def stored(part: str, array: NDArray[Any]) -> onnx_ir.Value:
        return add_initializer(linear.node, f"{linear.name}_{part}", onnx_ir.tensor(array))

    def added(
        op_type: str, inputs: Sequence[onnx_ir.Value | None], attributes: Mapping[str, int] | None = None
    ) -> onnx_ir.Value:
        domain = CONTRIB if op_type == "MatMulIntegerToFloat" else ""
        node = onnx_ir.node(op_type, inputs, attributes, domain=domain)
        insert_before(linear.node, [node])
        return node.outputs[0]

    largest = added("ReduceMax", [added("Abs", [linear.activation]), stored("axis", np.array([-1]))], {"keepdims": 1})
    # A row of zeros has no size to be divided by.
    sizes = added("Max", [largest, stored("least", np.array(_LEAST_ROW_SCALE, dtype=np.float32))])
    scale = stored("row_scale", np.array(1 / _LARGEST_CODE, dtype=np.float32))
    zero_point = stored("row_zero_point", np.array(_ROW_ZERO_POINT, dtype=np.uint8))
    rows = added("QuantizeLinear", [added("Div", [linear.activation, sizes]), scale, zero_point])
    weight = stored("int8", np.ascontiguousarray(codes.T))
    product = added("MatMulIntegerToFloat", [rows, weight, scale, stored("scales", weight_scales), zero_point])
    result = added("Mul", [product, sizes])
    replace_value(linear.node.outputs[0], result if linear.bias is None else added("Add", [result, linear.bias]))
