"""Each operator of ONNX Runtime's own, written out: onnx's evaluator and ONNX Runtime then give what it gave before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir
import pytest
from fusion_graphs import operators, parse, run
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from headway.export.standard_operators import write_out

RANDOM = np.random.default_rng(0)
NUM_EXPERTS, HIDDEN, INNER = 3, 4, 6
BLOCK, COLUMNS, ROWS = 16, 48, 5


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, dtype=np.float32)


def codes(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


@dataclass
class Case:
    """A graph in ONNX's text form, what it is fed, and what it holds."""

    text: str
    feeds: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray]

    def model(self) -> onnx_ir.Model:
        return parse(self.text, self.weights)


def experts(**attributes: float) -> Case:
    """Two experts of three for each token."""
    given = ", ".join(f"{name}: float = {value}" for name, value in attributes.items())
    shares = np.array([[0.7, 0.3, 0], [0, 0.4, 0.6], [0.5, 0, 0.5], [0.9, 0.1, 0]], np.float32)
    return Case(
        f"""g (float[tokens, {HIDDEN}] x, float[tokens, {NUM_EXPERTS}] router) => (float[tokens, {HIDDEN}] y) {{
            y = com.microsoft.MoE <k: int = 2, activation_type: string = "swiglu", swiglu_fusion: int = 1,
                normalize_routing_weights: int = 0, {given}> (x, router, up, up_bias, down, down_bias)
        }}""",
        # A token's other experts have no share.
        {"x": normal(4, HIDDEN), "router": np.log(np.maximum(shares, 1e-30))},
        {
            "up": normal(NUM_EXPERTS, 2 * INNER, HIDDEN),
            "up_bias": normal(NUM_EXPERTS, 2 * INNER),
            "down": normal(NUM_EXPERTS, HIDDEN, INNER),
            "down_bias": normal(NUM_EXPERTS, HIDDEN),
        },
    )


def block_weights(bits: int) -> dict[str, np.ndarray]:
    blocks = COLUMNS // BLOCK
    return {
        "codes": codes(ROWS, COLUMNS * bits // 8),
        "blobs": np.array([ROWS, blocks, BLOCK * bits // 8]),
        "scales": RANDOM.uniform(0.01, 0.1, (ROWS, blocks)).astype(np.float32),
        # Two of four bits in a byte, and half a byte left over.
        "zeros": codes(ROWS, -(-blocks * bits // 8)),
        "bias": normal(ROWS),
    }


def block_product(bits: int) -> Case:
    return Case(
        f"""g (float[batch, {COLUMNS}] x) => (float[batch, {ROWS}] y) {{
            w = Reshape (codes, blobs)
            y = com.microsoft.MatMulNBits <K: int = {COLUMNS}, N: int = {ROWS}, bits: int = {bits},
                block_size: int = {BLOCK}> (x, w, scales, zeros, , bias)
        }}""",
        {"x": normal(3, COLUMNS)},
        block_weights(bits),
    )


def block_lookup(bits: int) -> Case:
    weights = block_weights(bits)
    return Case(
        f"""g (int64[batch, seq] ids) => (float[batch, seq, {COLUMNS}] y) {{
            y = com.microsoft.GatherBlockQuantized <bits: int = {bits}, block_size: int = {BLOCK}, gather_axis: int = 0,
                quantize_axis: int = 1> (codes, ids, scales, zeros)
        }}""",
        {"ids": np.array([[0, 4], [2, 4]])},
        {name: weights[name] for name in ("codes", "scales", "zeros")},
    )


CASES: dict[str, Case] = {
    "product with a weight": Case(
        """g (float[batch, seq, 4] x) => (float[batch, seq, 6] y) {
            y = com.microsoft.FusedMatMul <transB: int = 1> (x, weight)
        }""",
        {"x": normal(2, 3, 4)},
        {"weight": normal(6, 4)},
    ),
    "scaled product with keys": Case(
        """g (float[batch, 2, seq, 4] q, float[batch, 2, total, 4] k) => (float[batch, 2, seq, total] y) {
            y = com.microsoft.FusedMatMul <transB: int = 1, alpha: float = 0.25> (q, k)
        }""",
        {"q": normal(2, 2, 3, 4), "k": normal(2, 2, 5, 4)},
        {},
    ),
    "experts": experts(activation_alpha=1.0, activation_beta=0.0),
    "experts of gpt-oss": experts(activation_alpha=1.702, activation_beta=1.0, swiglu_limit=0.5),
    "product with 8 bits": block_product(8),
    "product with 4 bits": block_product(4),
    "lookup of 8 bits": block_lookup(8),
    "lookup of 4 bits": block_lookup(4),
    "product of whole numbers": Case(
        """g (uint8[batch, 4] x, float scale, uint8 zero) => (float[batch, 6] y) {
            y = com.microsoft.MatMulIntegerToFloat (x, weight, scale, scales, zero, , bias)
        }""",
        {"x": codes(3, 4), "scale": np.array(0.1, np.float32), "zero": np.array(117, np.uint8)},
        {
            "weight": codes(4, 6).astype(np.int8),
            "scales": RANDOM.uniform(0.01, 0.1, 6).astype(np.float32),
            "bias": normal(6),
        },
    ),
}


def evaluated(model: onnx_ir.Model, feeds: Mapping[str, Any]) -> list[Any]:
    return ReferenceEvaluator(onnx_ir.to_proto(model)).run(None, dict(feeds))


def assert_written_out(model: onnx_ir.Model, feeds: Mapping[str, Any]) -> None:
    before = run(model, feeds)
    write_out(model)
    # ONNX Runtime has no lookup of 4 bits, which is why the exporter leaves tables in 8.
    looks_up_halves = any(node.op_type == "Gather" and _is_halves(node.inputs[0]) for node in model.graph)
    assert {node.domain for node in model.graph} == {""}
    for runtime in (evaluated,) if looks_up_halves else (evaluated, run):
        for one, other in zip(before, runtime(model, feeds), strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4 * np.abs(one).max())


def _is_halves(value: onnx_ir.Value | None) -> bool:
    return value is not None and value.const_value is not None and value.const_value.dtype == onnx_ir.DataType.UINT4


@pytest.mark.parametrize("name", CASES)
def test_the_standard_form_gives_the_same(name: str) -> None:
    case = CASES[name]
    assert_written_out(case.model(), case.feeds)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_table_that_is_looked_up_and_multiplied_by_is_stored_once(bits: int) -> None:
    weights = block_weights(bits)
    text = f"""g (int64[batch] ids) => (float[batch, {ROWS}] y) {{
        x = com.microsoft.GatherBlockQuantized <bits: int = {bits}, block_size: int = {BLOCK}, gather_axis: int = 0,
            quantize_axis: int = 1> (codes, ids, scales, zeros)
        w = Reshape (codes, blobs)
        y = com.microsoft.MatMulNBits <K: int = {COLUMNS}, N: int = {ROWS}, bits: int = {bits},
            block_size: int = {BLOCK}> (x, w, scales, zeros, , bias)
    }}"""
    model = parse(text, weights)
    assert_written_out(model, {"ids": np.array([0, 3, 4])})
    shapes = [tuple(value.const_value.shape) for value in model.graph.initializers.values()]
    assert shapes.count((COLUMNS, ROWS)) == 1


def test_norms() -> None:
    """The second adds first, and gives the sum too."""
    attributes = {"epsilon": 0.1, "axis": -1}
    nodes = [
        helper.make_node("SimplifiedLayerNormalization", ["x", "weight"], ["one"], **attributes),
        helper.make_node(
            "SkipSimplifiedLayerNormalization",
            ["one", "x", "weight"],
            ["two", "", "", "total"],
            domain="com.microsoft",
            epsilon=0.1,
        ),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3, 4]) for name in ("x", "two", "total")]
    weight = numpy_helper.from_array(normal(4), "weight")
    graph = helper.make_graph(nodes, "norms", values[:1], values[1:], [weight])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    model = onnx_ir.from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=10))
    assert_written_out(model, {"x": normal(2, 3, 4)})
    assert not any("LayerNormalization" in name for name in operators(model))
