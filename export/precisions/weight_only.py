"""q8 and q4: weights in 8 or 4 bits, activations in float32 (inside the operator in 8 bits, block by block).

A row's activations are rounded by their own blocks, so its result is the same to the last bit whatever else is in the
batch, in blocks of up to 32 channels. In larger ones of 4 bits the number of rows matters: ONNX Runtime (1.31)
multiplies a last odd row by a kernel that adds up in another order. That is a ten millionth, but the next layer rounds
it, to one side or the other, and of 28 most likely tokens of SmolLM2-135M one was another alone than in a batch of two.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np
import onnx_ir

from ..fusions.base import CONTRIB, add_initializer, insert_before, replace_value
from .blocks import SMALLEST_BLOCK, BlockWeight, Floats, quantize_blocks
from .linears import Linear, drop_unused, find_embeddings, find_linears, stored_values

# The operator may round activations to 8 bits inside a block; without it the CPU multiplies in float32, half as fast.
_ACCURACY_LEVEL = 4

Bits = Callable[[str], int]


def quantize_weights(
    model: onnx_ir.Model, bits_of: Bits, block_size: int, covariances: Mapping[str, Floats] | None = None
) -> None:
    """Replace products with stored weights by MatMulNBits and lookups by GatherBlockQuantized; changes in place.

    A table that is looked up and multiplied by (tied embeddings) is stored once.

    Args:
        bits_of: weight's name → 4 or 8.
        block_size: channels that share a scale, a power of two from 16.
        covariances: activation's name → (in, in), what calibration measured.
    """
    quantizer = _Quantizer(bits_of, block_size, covariances or {})
    # Products first: a tied table is rounded for what it is multiplied by, which matters more than the lookup.
    for linear in find_linears(model):
        _replace_product(linear, quantizer)
    for node in find_embeddings(model):
        _replace_lookup(node, quantizer)
    model.opset_imports[CONTRIB] = 1
    drop_unused(model)


def quantize_to_8_bits(model: onnx_ir.Model, names: Collection[str], block_size: int = 32) -> None:
    """The same in 8 bits for some weights, and the lookups that read them; changes in place."""
    quantizer = _Quantizer(lambda name: 8, block_size, {})
    for linear in find_linears(model):
        if linear.name in names:
            _replace_product(linear, quantizer)
    for node in find_embeddings(model):
        if node.inputs[0] is not None and node.inputs[0].name in names:
            _replace_lookup(node, quantizer)


class _Quantizer:
    """Quantizes each weight once, whoever reads it, and keeps the initializers made of it."""

    def __init__(self, bits_of: Bits, block_size: int, covariances: Mapping[str, Floats]) -> None:
        self._bits_of = bits_of
        self._block_size = block_size
        self._covariances = covariances
        self._stored: dict[tuple[str, bool], tuple[BlockWeight, list[onnx_ir.Value]]] = {}

    def linear(self, linear: Linear) -> tuple[BlockWeight, list[onnx_ir.Value]]:
        """A layer's weight and the initializers of its codes (out, bytes), scales and zero points."""
        covariance = self._covariances.get(str(linear.activation.name))
        return self._store(linear.node, linear.name, linear.is_out_in, linear.weight_values, covariance)

    def table(self, node: onnx_ir.Node, table: onnx_ir.Value) -> tuple[BlockWeight, list[onnx_ir.Value]]:
        """The same of a table of rows."""
        return self._store(node, str(table.name), True, lambda: stored_values(table), None)

    def divides(self, columns: int) -> bool:
        """Whether rows of so many columns fall into whole blocks, as lookups need."""
        return columns % SMALLEST_BLOCK == 0

    def _store(
        self, anchor: onnx_ir.Node, name: str, is_out_in: bool, values: Callable[[], Floats], covariance: Floats | None
    ) -> tuple[BlockWeight, list[onnx_ir.Value]]:
        key = (name, is_out_in)
        if key not in self._stored:
            weight_values = values()
            block = _fitting_block(weight_values.shape[1], self._block_size)
            weight = quantize_blocks(weight_values, self._bits_of(name), block, covariance)
            arrays = {
                "codes": weight.packed_codes().reshape(len(weight.codes), -1),
                "scales": weight.scales,
                "zero_points": weight.packed_zero_points(),
            }
            stored = [add_initializer(anchor, f"{name}_{part}", onnx_ir.tensor(a)) for part, a in arrays.items()]
            self._stored[key] = weight, stored
        return self._stored[key]


def _fitting_block(columns: int, wanted: int) -> int:
    """The largest block, up to the one wanted, that the columns are whole multiples of; the one wanted if none is."""
    block = wanted
    while block > SMALLEST_BLOCK and columns % block:
        block //= 2
    return block if columns % block == 0 else wanted


def _replace_product(linear: Linear, quantizer: _Quantizer) -> None:
    weight, (codes, scales, zero_points) = quantizer.linear(linear)
    blobs = np.array([len(weight.codes), weight.codes.shape[1], -1], dtype=np.int64)
    shape = add_initializer(linear.node, f"{linear.name}_blobs", onnx_ir.tensor(blobs))
    # (out, bytes) → (out, blocks, bytes): lookups and products read one tensor in two shapes.
    reshape = onnx_ir.node("Reshape", [codes, shape])
    bias = [None, linear.bias] if linear.bias is not None else []
    product = onnx_ir.node(
        "MatMulNBits",
        [linear.activation, reshape.outputs[0], scales, zero_points, *bias],
        {
            "K": weight.num_columns,
            "N": len(weight.codes),
            "bits": weight.bits,
            "block_size": weight.block_size,
            "accuracy_level": _ACCURACY_LEVEL,
        },
        domain=CONTRIB,
    )
    insert_before(linear.node, [reshape, product])
    replace_value(linear.node.outputs[0], product.outputs[0])


def _replace_lookup(node: onnx_ir.Node, quantizer: _Quantizer) -> None:
    table, ids = node.inputs[0], node.inputs[1]
    if table is None or table.const_value is None or not quantizer.divides(int(table.const_value.shape.numpy()[1])):
        return
    weight, (codes, scales, zero_points) = quantizer.table(node, table)
    attributes = {"bits": weight.bits, "block_size": weight.block_size, "gather_axis": 0, "quantize_axis": 1}
    lookup = onnx_ir.node("GatherBlockQuantized", [codes, ids, scales, zero_points], attributes, domain=CONTRIB)
    insert_before(node, [lookup])
    replace_value(node.outputs[0], lookup.outputs[0])
