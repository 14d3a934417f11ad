"""Block-wise codes: their values, how they are packed, and that compensating errors lowers them where it matters."""

from __future__ import annotations

import numpy as np
import onnx_ir
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.export.precisions.blocks import BlockWeight, quantize_blocks

GENERATOR = np.random.default_rng(0)


def weight_of(rows: int, columns: int) -> np.ndarray:
    return GENERATOR.standard_normal((rows, columns)).astype(np.float32)


def test_a_block_of_few_values_is_exact():
    weight = np.array([[-0.5, 0.0, 0.25, 1.0] * 4], dtype=np.float32)
    np.testing.assert_allclose(quantize_blocks(weight, 8, 16).values(), weight, atol=0.003)
    steps = np.array([[-1.0, 0.0, 2.0, 14.0] * 4], dtype=np.float32)
    np.testing.assert_allclose(quantize_blocks(steps, 4, 16).values(), steps, atol=1e-5)


@given(
    bits=st.sampled_from([4, 8]),
    block_size=st.sampled_from([16, 32, 64]),
    rows=st.integers(1, 5),
    columns=st.integers(1, 100),
    scale=st.sampled_from([0.0, 1e-6, 1.0, 1e4]),
)
def test_no_value_is_further_off_than_its_block_allows(bits, block_size, rows, columns, scale):
    weight = weight_of(rows, columns) * np.float32(scale)
    weight_blocks = quantize_blocks(weight, bits, block_size)
    assert weight_blocks.values().shape == weight.shape
    assert weight_blocks.codes.max() < 2**bits
    span = max(float(weight.max()), 0) - min(float(weight.min()), 0)
    # At 4 bits a quarter of the range may be clipped at its ends.
    assert np.abs(weight_blocks.values() - weight).max() <= (0.02 if bits == 8 else 0.35) * span


def product(weight: BlockWeight, rows: np.ndarray, accuracy_level: int = 0) -> np.ndarray:
    """What ONNX Runtime multiplies (…, columns) rows to, (…, out)."""
    out_features, columns = len(weight.codes), rows.shape[-1]
    attributes = {"K": columns, "N": out_features, "bits": weight.bits, "block_size": weight.block_size}
    names = ("codes", "scales", "zero_points")
    arrays = (weight.packed_codes(), weight.scales, weight.packed_zero_points())
    values = [onnx_ir.Value(name=name, const_value=onnx_ir.tensor(a)) for name, a in zip(names, arrays, strict=True)]
    activation = onnx_ir.Value(
        name="rows", type=onnx_ir.TensorType(onnx_ir.DataType.FLOAT), shape=onnx_ir.Shape(rows.shape)
    )
    attributes["accuracy_level"] = accuracy_level
    node = onnx_ir.node("MatMulNBits", [activation, *values], attributes, domain="com.microsoft")
    node.outputs[0].type = onnx_ir.TensorType(onnx_ir.DataType.FLOAT)
    graph = onnx_ir.Graph(
        [activation],
        node.outputs,
        nodes=[node],
        initializers=values,
        opset_imports={"": 21, "com.microsoft": 1},
        name="g",
    )
    proto = onnx_ir.to_proto(onnx_ir.Model(graph, ir_version=10)).SerializeToString()
    session = onnxruntime.InferenceSession(proto, providers=["CPUExecutionProvider"])
    return session.run(None, {"rows": rows})[0]


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("columns", [64, 80, 100])
def test_onnxruntime_multiplies_by_what_the_codes_stand_for(bits, columns):
    weight = quantize_blocks(weight_of(24, columns), bits, 32)
    rows = GENERATOR.standard_normal((3, columns)).astype(np.float32)
    np.testing.assert_allclose(product(weight, rows), rows @ weight.values().T, atol=1e-4)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("block_size", [16, 32])
@pytest.mark.parametrize("columns", [96, 576])
def test_a_rows_product_is_its_own_to_the_last_bit(bits, block_size, columns):
    """As exports ask for it, with activations that the operator rounds: by the rows beside it it would be 1e-2 off."""
    weight = quantize_blocks(weight_of(40, columns), bits, block_size)
    row = weight_of(1, columns)
    alone = product(weight, row, 4)[0]
    for num_others, size in ((1, 1), (2, 100), (3, 0.01), (4, 1), (7, 100)):
        others = size * weight_of(num_others, columns)
        np.testing.assert_array_equal(product(weight, np.vstack([row, others]), 4)[0], alone)
        np.testing.assert_array_equal(product(weight, np.vstack([others, row]), 4)[-1], alone)


def test_compensation_lowers_the_error_of_the_product():
    weight = weight_of(64, 96)
    activations = weight_of(1000, 12) @ weight_of(12, 96) + 0.2 * weight_of(1000, 96)
    covariance = activations.T @ activations / len(activations)
    errors = [
        np.square(activations @ (quantize_blocks(weight, 4, 32, given).values() - weight).T).mean()
        for given in (None, covariance)
    ]
    assert errors[1] < 0.3 * errors[0]


def test_searching_beats_the_plain_range():
    weight = weight_of(256, 96)
    blocks = weight.reshape(256, 3, 32)
    low, high = blocks.min(-1, keepdims=True), blocks.max(-1, keepdims=True)
    scale, point = (high - low) / 15, np.rint(-low / (high - low) * 15)
    plain = (np.clip(np.rint(blocks / scale) + point, 0, 15) - point) * scale
    searched = quantize_blocks(weight, 4, 32).values()
    assert np.square(searched - weight).mean() < 0.95 * np.square(plain - blocks).mean()


def test_activations_that_are_no_numbers_leave_every_weight_to_itself():
    weight = weight_of(8, 64)
    plain = quantize_blocks(weight, 4, 32)
    covariance = np.eye(64, dtype=np.float32)
    covariance[3, 5] = np.nan
    np.testing.assert_array_equal(quantize_blocks(weight, 4, 32, covariance).codes, plain.codes)
