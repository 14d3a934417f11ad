"""Which tokens matter most when weights are rounded: by the residual stream they are added to, and by who attends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import pytest
from decoder_parity import WIDE_HEADS, variant
from numpy.typing import NDArray

from headway.export import export
from headway.export.precisions.activations import covariances, visit_runs
from headway.export.precisions.linears import find_linears
from headway.export.precisions.probes import prefill_feeds
from headway.export.precisions.token_weights import TokenWeights, token_weights
from headway.runtime.session import Session

Floats = NDArray[np.float32]
TOKENS = 12


def activations(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("token-weights") / "out"
    export(variant("llama", dict(WIDE_HEADS)), folder, task="text-generation", progress=False)
    return folder / "onnx" / "model.onnx"


def test_tokens_are_equal_unless_something_is_known_of_them() -> None:
    weights = TokenWeights()
    assert weights.are_equal
    np.testing.assert_array_equal(weights.of_run(activations(2, 5, 8), {}), np.ones((2, 5)))


def test_a_token_counts_less_where_its_residual_stream_is_large() -> None:
    stream = activations(1, 4, 8)
    stream /= np.sqrt(np.square(stream).mean(axis=-1, keepdims=True))
    stream[0, 0] *= 100
    weights = TokenWeights(residual="stream").of_run(activations(1, 4, 6), {"stream": stream})
    np.testing.assert_allclose(weights[0, 1:], 4 / (3 + 1e-4), rtol=1e-4)
    np.testing.assert_allclose(weights[0, 0], weights[0, 1] * 1e-4, rtol=1e-3)
    assert weights.mean() == pytest.approx(1)


def test_the_first_token_of_each_text_counts_as_a_tenth_of_all() -> None:
    weights = TokenWeights(is_attended=True).of_run(activations(3, 20, 6), {})
    np.testing.assert_allclose(weights[:, 0], 3)
    np.testing.assert_array_equal(weights[:, 1:], 1)


def test_each_layer_of_a_decoder_is_weighed_by_its_place(llama: Path) -> None:
    model = onnx_ir.load(llama)
    weights = token_weights(model)
    placed = {linear.name: weights[str(linear.activation.name)] for linear in find_linears(model)}

    def of(part: str) -> list[TokenWeights]:
        return [found for name, found in placed.items() if part in name]

    assert all(found.is_attended and found.residual is None for found in of("q_proj"))
    assert all(found.are_equal for found in of("gate_proj"))
    # The last layer's sum is normalised by a node that keeps it to itself.
    assert all(found.residual and not found.is_attended for found in [*of("o_proj"), *of("down_proj")[:-1]])
    assert of("q_proj")
    assert of("gate_proj")
    assert len(of("down_proj")) > 1


def test_covariances_are_those_of_weighed_tokens(llama: Path) -> None:
    session = Session(llama)
    ids = np.random.default_rng(3).integers(0, 90, (2, TOKENS))
    feeds = [prefill_feeds(session.inputs, row) for row in ids]
    model = onnx_ir.load(llama)
    weights = token_weights(model)
    runs: list[dict[str, Floats]] = []
    names = {*weights, *(found.residual for found in weights.values() if found.residual)}
    visit_runs(llama, feeds, lambda values: runs.append(dict(values)), names)
    measured = covariances(llama, feeds)
    assert set(measured) == set(weights)
    for name, found in weights.items():
        expected = np.zeros_like(measured[name], dtype=np.float64)
        for values in runs:
            rows = values[name].reshape(-1, expected.shape[0]).astype(np.float64)
            expected += (rows * found.of_run(values[name], values).reshape(-1, 1)).T @ rows
        num_rows = sum(values[name].reshape(-1, len(expected)).shape[0] for values in runs)
        np.testing.assert_allclose(measured[name], expected / num_rows, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


def test_what_is_an_input_of_the_graph_is_not_measured(tmp_path: Path) -> None:
    """As the encoder's states are that a decoder's cross-attention reads."""
    header = '<ir_version: 10, opset_import: ["": 20]> g (float[rows, 32] x) => (float[rows, 32] y)'
    model = onnx.parser.parse_model(f"{header} {{ h = MatMul(x, w) r = Relu(h) y = MatMul(r, v) }}")
    for name in "wv":
        model.graph.initializer.append(onnx.numpy_helper.from_array(activations(32, 32), name))
    onnx.save(model, tmp_path / "model.onnx")
    assert list(covariances(tmp_path / "model.onnx", [{"x": activations(5, 32)}])) == ["r"]
