"""What weights are kept in, told by the graph: of the layers, whatever the tables are in."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from headway.runtime.artifact import Artifact
from headway.runtime.cli import main
from headway.runtime.errors import ArtifactNotFoundError, CorruptArtifactError
from headway.runtime.weight_precision import weight_precision

LAYER = np.ones((32, 32))
TABLE = numpy_helper.from_array(np.ones((200, 32), dtype=np.float32), "table")
LOOK_UP = helper.make_node("Gather", ["table", "ids"], ["values"])


def _write(path: Path, nodes: list[Any], weights: list[Any], output: str = "products") -> Path:
    """A graph that looks rows up in a table, larger than the layer that reads them."""
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ("rows",))]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ("rows", 32))]
    graph = helper.make_graph([LOOK_UP, *nodes], "graph", inputs, outputs, [TABLE, *weights])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def _weights(dtype: Any, shape: tuple[int, ...] = LAYER.shape) -> Any:
    return numpy_helper.from_array(np.ones(shape, dtype=dtype), "weights")


def _blocks(bits: int, scales: Any = np.float32) -> tuple[list[Any], list[Any]]:
    attributes = {"K": 32, "N": 32, "bits": bits, "block_size": 32}
    node = helper.make_node(
        "MatMulNBits", ["values", "weights", "scales"], ["products"], domain="com.microsoft", **attributes
    )
    tensors = [_weights(np.uint8, (32, 1, 4 * bits)), numpy_helper.from_array(np.ones((32, 1), scales), "scales")]
    return [node], tensors


def _plain(dtype: Any) -> tuple[list[Any], list[Any]]:
    return [helper.make_node("MatMul", ["values", "weights"], ["products"])], [_weights(dtype)]


def _kept_in_bytes() -> tuple[list[Any], list[Any]]:
    nodes = [
        helper.make_node("DequantizeLinear", ["weights", "scale"], ["wide"]),
        helper.make_node("MatMul", ["values", "wide"], ["products"]),
    ]
    return nodes, [_weights(np.int8), numpy_helper.from_array(np.float32(1), "scale")]


def _computed_in_bytes() -> tuple[list[Any], list[Any]]:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["values"], ["bytes", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["bytes", "weights", "zero"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["products"], to=TensorProto.FLOAT),
    ]
    return nodes, [_weights(np.int8)]


@pytest.mark.parametrize(
    ("layer", "precision"),
    [
        pytest.param(_plain(np.float32), "fp32", id="float32"),
        pytest.param(_plain(np.float16), "fp16", id="float16"),
        pytest.param(_blocks(4), "q4", id="blocks-of-4-bits"),
        pytest.param(_blocks(8), "q8", id="blocks-of-8-bits"),
        pytest.param(_blocks(4, np.float16), "q4f16", id="scales-in-half"),
        pytest.param(_kept_in_bytes(), "q8", id="kept-in-bytes"),
        pytest.param(_computed_in_bytes(), "int8", id="computed-in-bytes"),
    ],
)
def test_precision_of_the_layers(layer: tuple[list[Any], list[Any]], precision: str, tmp_path: Path) -> None:
    assert weight_precision(_write(tmp_path / "model.onnx", *layer)) == precision


def test_a_table_alone_counts(tmp_path: Path) -> None:
    assert weight_precision(_write(tmp_path / "model.onnx", [], [], output="values")) == "fp32"


def test_layers_in_a_branch(tmp_path: Path) -> None:
    """A merged decoder's: the weights lie in the graph, and what reads them in the branches of an If."""
    nodes, weights = _computed_in_bytes()
    output = helper.make_tensor_value_info("products", TensorProto.FLOAT, ("rows", 32))
    branch = helper.make_graph(nodes, "branch", [], [output])
    chosen = helper.make_node("If", ["is_first"], ["out"], then_branch=branch, else_branch=branch)
    weights.append(numpy_helper.from_array(np.array(True), "is_first"))
    assert weight_precision(_write(tmp_path / "model.onnx", [chosen], weights, output="out")) == "int8"


def test_no_graph(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\xff" * 40)
    with pytest.raises(CorruptArtifactError, match="is not an ONNX file"):
        weight_precision(tmp_path / "model.onnx")


def test_inspect_tells_what_the_name_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path / "model.onnx", *_blocks(4))
    (tmp_path / "genai_config.json").write_text(
        json.dumps({"model": {"type": "llama", "decoder": {"filename": "model.onnx"}}})
    )
    assert main(["inspect", str(tmp_path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("model.onnx ")]
    assert line.endswith("  weights q4")
    assert main(["inspect", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["variants"]["model.onnx"]["precision"] == "q4"


def test_a_file_without_a_precision_in_its_name_is_asked_for_by_what_it_is(tmp_path: Path) -> None:
    path = _write(tmp_path / "model.onnx", *_blocks(4))
    artifact = Artifact(tmp_path)
    for dtype in (None, "fp32", "q4"):
        assert artifact.model_file(dtype=dtype) == path
    with pytest.raises(ArtifactNotFoundError, match="has no model in int8"):
        artifact.model_file(dtype="int8")
    # What is named so is meant.
    named = _write(tmp_path / "model_q4.onnx", *_blocks(4))
    assert Artifact(tmp_path).model_file(dtype="q4") == named
