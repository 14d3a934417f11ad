"""What keeps activations whole in 8 bits: smoothed channels, and rows behind a gate that have their own scale."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
from numpy.typing import NDArray

from headway.export.precision import REDUCED, Calibration
from headway.export.precisions.dynamic_int8 import quantize_dynamically
from headway.export.precisions.gates import is_gated
from headway.export.precisions.sensitivity import most_sensitive
from headway.export.precisions.smoothing import largest_activations, smooth

Floats = NDArray[np.float32]
WIDTH, HIDDEN, ROWS = 48, 64, 12
SPIKES = [3, 17, 40]

HEADER = '<ir_version: 10, opset_import: ["": 20, "com.microsoft": 1]>'
NORMED = {
    "LayerNormalization": "LayerNormalization <axis: int = -1, epsilon: float = 1e-5> (x, gamma, beta)",
    "SimplifiedLayerNormalization": "SimplifiedLayerNormalization <axis: int = -1, epsilon: float = 1e-5> (x, gamma)",
    "SkipLayerNormalization": "com.microsoft.SkipLayerNormalization <epsilon: float = 1e-5> (x, x, gamma, beta)",
    "SkipSimplifiedLayerNormalization": "com.microsoft.SkipSimplifiedLayerNormalization (x, x, gamma)",
}


def weights(seed: int = 0) -> dict[str, Floats]:
    generator = np.random.default_rng(seed)
    shapes = {"gamma": WIDTH, "beta": WIDTH, "w1": (WIDTH, HIDDEN), "w2": (HIDDEN, WIDTH), "down": (HIDDEN, WIDTH)}
    stored = {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    stored["gamma"][SPIKES] *= 60
    return stored


def graph(body: str, outputs: str, stored: dict[str, Floats]) -> onnx_ir.Model:
    """A graph of (rows, WIDTH) x with those of the weights that its body names."""
    proto = onnx.parser.parse_model(f"{HEADER} small (float[rows, {WIDTH}] x) => ({outputs}) {{ {body} }}")
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in stored.items() if name in body
    )
    return onnx_ir.from_proto(proto)


def run(model: onnx_ir.Model, x: Floats) -> list[Floats]:
    session = onnxruntime.InferenceSession(onnx_ir.to_proto(model).SerializeToString())
    return session.run(None, {"x": x})


def rows(seed: int = 5) -> Floats:
    return np.random.default_rng(seed).standard_normal((ROWS, WIDTH)).astype(np.float32)


def saved(model: onnx_ir.Model, folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx_ir.save(model, path)
    return path


def two_layers(norm: str) -> onnx_ir.Model:
    """A normalisation read by a layer whose weight is (in, out), and by one whose weight is transposed."""
    body = f"y = {NORMED[norm]} one = MatMul(y, w1) w2t = Transpose <perm: ints = [1, 0]> (w2) two = MatMul(y, w2t)"
    return graph(body, f"float[rows, {HIDDEN}] one, float[rows, {HIDDEN}] two", weights())


@pytest.mark.parametrize("norm", list(NORMED))
def test_smoothing_changes_nothing_in_float32_and_evens_channels_out(norm: str, tmp_path: Path) -> None:
    expected = run(two_layers(norm), rows())
    path = saved(two_layers(norm), tmp_path)
    largest = largest_activations(path, [{"x": rows()}])
    assert list(largest) == ["y"]
    model = onnx_ir.load(path)
    factors = smooth(model, largest)["y"]
    for result, wanted in zip(run(model, rows()), expected, strict=True):
        np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    before = largest["y"]
    after = largest_activations(saved(model, tmp_path), [{"x": rows()}])["y"]
    np.testing.assert_allclose(after, before / factors, rtol=1e-5)
    assert after.max() / np.median(after) < 0.3 * before.max() / np.median(before)


def test_int8_loses_much_less_where_channels_differ(tmp_path: Path) -> None:
    path = saved(two_layers("SimplifiedLayerNormalization"), tmp_path)
    expected = run(onnx_ir.load(path), rows())[0]

    def loss(largest: dict[str, Floats]) -> float:
        model = onnx_ir.load(path)
        REDUCED["int8"].convert(model, Calibration(largest=largest))
        return float(np.linalg.norm(run(model, rows())[0] - expected))

    # Calibrated on other rows than these.
    assert loss(largest_activations(path, [{"x": rows(seed=6)}])) < 0.5 * loss({})


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        # A residual connection reads the normalisation too.
        (
            f"y = {NORMED['LayerNormalization']} one = MatMul(y, w1) two = Add(y, x)",
            f"float[rows, {HIDDEN}] one, float[rows, {WIDTH}] two",
        ),
        # Two layers share one weight, and only one of them follows the normalisation.
        (
            f"y = {NORMED['LayerNormalization']} one = MatMul(y, w1) two = MatMul(x, w1)",
            f"float[rows, {HIDDEN}] one, float[rows, {HIDDEN}] two",
        ),
        # The caller gets what the normalisation gives.
        (
            f"y = {NORMED['LayerNormalization']} one = MatMul(y, w1)",
            f"float[rows, {HIDDEN}] one, float[rows, {WIDTH}] y",
        ),
    ],
    ids=["residual", "shared weight", "output"],
)
def test_what_others_read_is_not_smoothed(body: str, outputs: str) -> None:
    model = graph(body, outputs, weights())
    expected = run(model, rows())
    assert smooth(model, {"y": np.arange(1, WIDTH + 1, dtype=np.float32)}) == {}
    for result, wanted in zip(run(model, rows()), expected, strict=True):
        np.testing.assert_array_equal(result, wanted)


def test_channels_that_calibration_did_not_see_are_not_blown_up(tmp_path: Path) -> None:
    path = saved(two_layers("SimplifiedLayerNormalization"), tmp_path)
    largest = largest_activations(path, [{"x": rows()}])["y"]
    largest[0] = 0
    factors = smooth(onnx_ir.load(path), {"y": largest})["y"]
    assert factors[0] > 0.02 * np.median(factors)


def gated() -> onnx_ir.Model:
    body = "gate = MatMul(x, w1) up = MatMul(x, w1b) open = Sigmoid(gate) silu = Mul(gate, open) "
    body += "through = Mul(silu, up) result = MatMul(through, down)"
    stored = weights() | {"w1b": weights(seed=1)["w1"]}
    return graph(body, f"float[rows, {WIDTH}] result", stored)


def test_the_product_of_two_branches_is_gated_and_an_activation_function_is_not() -> None:
    values = {value.name: value for node in gated().graph for value in node.outputs}
    assert is_gated(values["through"])
    assert not is_gated(values["silu"])
    assert not is_gated(values["up"])


def test_rows_behind_a_gate_are_not_disturbed_by_a_large_one() -> None:
    model = gated()
    expected = run(gated(), rows())[0]
    quantize_dynamically(model, left_out=["w1", "w1b"])
    counts = Counter(node.op_type for node in model.graph)
    assert counts["QuantizeLinear"] == counts["MatMulIntegerToFloat"] == 1
    alone = run(model, rows())[0]
    np.testing.assert_allclose(alone, expected, atol=0.03 * np.abs(expected).max())
    large = np.concatenate([rows(), 40 * rows(seed=8)[:1], np.zeros((1, WIDTH), np.float32)])
    beside = run(model, large)[0]
    np.testing.assert_array_equal(beside[:ROWS], alone)
    assert np.all(beside[-1] == 0)


def test_the_layer_that_hurts_is_found_among_smoothed_ones(tmp_path: Path) -> None:
    """Without smoothing the layer after the normalisation hurts most, with it the one that it cannot help."""
    body = f"y = {NORMED['SimplifiedLayerNormalization']} one = MatMul(y, w1) h = Relu(one) two = MatMul(h, down)"
    stored = weights()
    stored["down"][:, ::2] *= np.geomspace(1, 40, HIDDEN, dtype=np.float32)[:, None]
    path = saved(graph(body, f"float[rows, {WIDTH}] two", stored), tmp_path)
    feeds = [{"x": rows()}]
    assert most_sensitive(path, feeds, "int8", 0.5) == ["w1"]
    assert most_sensitive(path, feeds, "int8", 0.5, largest_activations(path, feeds)) == ["down"]
