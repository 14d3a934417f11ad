"""Quantized products and lookups in standard operators: MatMulInteger, and DequantizeLinear with a scale per block.

ONNX Runtime knows both forms again and runs its own kernels for them; other runtimes compute what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ml_dtypes
import numpy as np
import onnx_ir
from numpy.typing import NDArray

from .fusions.base import add_initializer, producer, replace_value
from .fusions.builder import NodeBuilder

# The first that has a scale per block, and types of 4 bits.
BLOCKS_OPSET = 21


def padded_inputs(node: onnx_ir.Node, count: int) -> list[onnx_ir.Value | None]:
    """A node's inputs, with None for the optional ones at the end that it lacks."""
    return [*node.inputs, *(None for _ in range(count - len(node.inputs)))]


def _integer_product(node: onnx_ir.Node) -> None:
    """(codes - zero point) @ weight as whole numbers, times both scales."""
    build = NodeBuilder(node)
    codes, weight, scale, scales, zero_point, _, bias = padded_inputs(node, 7)
    whole = build("MatMulInteger", [codes, weight, zero_point])
    number = build("Cast", [whole], {"to": int(onnx_ir.DataType.FLOAT)})
    product = build("Mul", [number, build("Mul", [scale, scales])])
    replace_value(node.outputs[0], product if bias is None else build("Add", [product, bias]))


def _block_product(node: onnx_ir.Node) -> None:
    """The product with the weight's values."""
    build = NodeBuilder(node)
    reshape = producer(node.inputs[1], "Reshape")
    codes = reshape.inputs[0] if reshape is not None else node.inputs[1]
    stored = _stored(node, codes, node.inputs[2], node.inputs[3], node.attributes["K"].as_int())
    values = build("DequantizeLinear", stored, {"axis": 0, "block_size": node.attributes["block_size"].as_int()})
    product = build("MatMul", [node.inputs[0], values])
    bias = padded_inputs(node, 6)[5]
    replace_value(node.outputs[0], product if bias is None else build("Add", [product, bias]))


def _block_lookup(node: onnx_ir.Node) -> None:
    """Columns of a weight stored (in, out), so that a table tied to a product is stored once."""
    build = NodeBuilder(node)
    codes, ids, scales, zero_points = node.inputs
    num_columns = _array(codes).shape[1] * 8 // node.attributes["bits"].as_int()
    stored = _stored(node, codes, scales, zero_points, num_columns)
    flat = build.reshape(ids, [-1]) if ids is not None else None
    chosen = [build("Gather", [value, flat], {"axis": 1}) for value in stored]
    values = build("DequantizeLinear", chosen, {"axis": 0, "block_size": node.attributes["block_size"].as_int()})
    rows = build("Transpose", [values], {"perm": [1, 0]})
    shape = build("Concat", [build("Shape", [ids]), build.numbers([num_columns])], {"axis": 0})
    replace_value(node.outputs[0], build("Reshape", [rows, shape]))


def _stored(
    node: onnx_ir.Node,
    codes: onnx_ir.Value | None,
    scales: onnx_ir.Value | None,
    zero_points: onnx_ir.Value | None,
    num_columns: int,
) -> list[onnx_ir.Value]:
    """Codes (in, out), scales and zero points (blocks, out) as DequantizeLinear takes them, each stored once."""
    bits = node.attributes["bits"].as_int()
    num_blocks = _array(scales).size // _array(codes).shape[0]
    arrays = {
        codes: _unpacked(_array(codes), bits)[:, :num_columns],
        scales: _array(scales).reshape(-1, num_blocks),
        zero_points: _unpacked(_array(zero_points), bits)[:, :num_blocks],
    }
    return [_transposed(node, value, array, bits) for value, array in arrays.items() if value is not None]


def _transposed(node: onnx_ir.Node, value: onnx_ir.Value, array: NDArray, bits: int) -> onnx_ir.Value:
    name = f"{value.name}_by_input"
    known = node.graph.initializers.get(name) if node.graph is not None else None
    if known is not None:
        return known
    turned = np.ascontiguousarray(array.T)
    return add_initializer(
        node, name, onnx_ir.tensor(turned.astype(ml_dtypes.uint4) if bits == 4 and array.dtype == np.uint8 else turned)
    )


def _unpacked(packed: NDArray, bits: int) -> NDArray:
    """(rows, codes) uint8 of rows that hold two codes a byte, the low one first."""
    if bits == 8:
        return packed
    return np.stack([packed & 15, packed >> 4], axis=-1).reshape(len(packed), -1)


def _array(value: onnx_ir.Value | None) -> NDArray:
    if value is None or value.const_value is None:
        raise ValueError("a quantized weight is no initializer")
    array = value.const_value.numpy()
    return array.reshape(len(array), -1)


QUANTIZED_WRITERS: Mapping[str, Callable[[onnx_ir.Node], None]] = {
    "GatherBlockQuantized": _block_lookup,
    "MatMulIntegerToFloat": _integer_product,
    "MatMulNBits": _block_product,
}
