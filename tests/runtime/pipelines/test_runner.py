"""Feeds and outputs of graphs made by hand, as other exporters write them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny_heads import Heads

from headway.runtime import AutoModel, AutoModelForSequenceClassification, pipeline
from headway.runtime.batching import Rows
from headway.runtime.errors import CorruptArtifactError, OptionError
from headway.runtime.pipelines.options import PipelineOptions
from headway.runtime.pipelines.runner import Runner, token_vectors, vectors

ROWS = Rows.from_lists([[5], [6, 7, 8], [9, 9]])


def write_graph(folder: Path, inputs: dict[str, int], output: str, nodes: list[Any], output_type: int) -> Path:
    """A folder with model.onnx of inputs (batch, sequence), and one output (batch, sequence)."""
    axes = ["batch", "sequence"]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, kind, axes) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(output, output_type, axes)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    (folder / "config.json").write_text(json.dumps({"vocab_size": 100}))
    return folder


def test_positions_and_narrow_integers(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["position_ids"], ["positions"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["ids", "mask"], ["kept"]),
        helper.make_node("Add", ["kept", "positions"], ["last_hidden_state"]),
    ]
    inputs = {"input_ids": TensorProto.INT32, "position_ids": TensorProto.INT64, "attention_mask": TensorProto.INT32}
    folder = write_graph(tmp_path / "a", inputs, "last_hidden_state", nodes, TensorProto.FLOAT)
    runner = Runner(AutoModel.from_pretrained(folder), pad_token_id=0)
    found = token_vectors(runner.run(ROWS, PipelineOptions()), len(ROWS))
    assert [values.tolist() for values in found] == [[5], [6, 8, 10], [9, 10]]


def test_half_precision_comes_out_in_float32(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["input_ids"], ["logits"], to=TensorProto.FLOAT16)]
    folder = write_graph(tmp_path / "a", {"input_ids": TensorProto.INT64}, "logits", nodes, TensorProto.FLOAT16)
    runner = Runner(AutoModelForSequenceClassification.from_pretrained(folder), 0, ("logits",))
    (found,) = {values.dtype for _, (values,) in runner.run(ROWS, PipelineOptions())}
    assert found == np.float32


def test_without_padding_token_rows_of_one_length_run_together(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["input_ids"], ["logits"], to=TensorProto.FLOAT)]
    folder = write_graph(tmp_path / "a", {"input_ids": TensorProto.INT64}, "logits", nodes, TensorProto.FLOAT)
    rows = Rows.from_lists([[5, 6], [7], [8, 9]])
    runner = Runner(AutoModelForSequenceClassification.from_pretrained(folder), pad_token_id=None)
    batches = [batch.input_ids.tolist() for batch, _ in runner.run(rows, PipelineOptions())]
    assert batches == [[[5, 6], [8, 9]], [[7]]]


def test_an_input_that_text_does_not_give_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["pixel_values"], ["logits"])]
    folder = write_graph(tmp_path / "a", {"pixel_values": TensorProto.FLOAT}, "logits", nodes, TensorProto.FLOAT)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with pytest.raises(CorruptArtifactError, match="needs the input pixel_values"):
        Runner(model, 0)


def test_none_of_the_outputs_is_refused(heads: Heads) -> None:
    with pytest.raises(CorruptArtifactError, match="has the outputs last_hidden_state, pooler_output; a or b is"):
        Runner(AutoModel.from_pretrained(heads("backbone").folder), 0, ("a", "b"))


def test_only_the_outputs_asked_for_are_computed(heads: Heads) -> None:
    runner = Runner(AutoModel.from_pretrained(heads("backbone").folder), 0, ("pooler_output",))
    ((_, outputs),) = runner.run(ROWS, PipelineOptions())
    assert [output.shape for output in outputs] == [(3, 32)]


@pytest.mark.parametrize(
    ("options", "budget"),
    [({}, 512), ({"batch_size": 8}, None), ({"max_batch_tokens": 7}, 7), ({"batch_size": 2, "max_batch_tokens": 7}, 7)],
)
def test_the_budget(heads: Heads, options: dict[str, int], budget: int | None) -> None:
    runner = Runner(AutoModel.from_pretrained(heads("backbone").folder, device="cpu"), 0)
    assert runner.budget(PipelineOptions(**options)) == budget


@pytest.mark.parametrize(("num_tokens", "budget"), [(100, 96), (880, 110), (100_000, 256)])
def test_streams_share_little_work_in_several_batches_each(heads: Heads, num_tokens: int, budget: int) -> None:
    runner = Runner(AutoModel.from_pretrained(heads("backbone").folder, device="cpu"), 0)
    assert runner.budget(PipelineOptions(), 2, num_tokens) == budget


def test_vectors_come_back_in_order(heads: Heads) -> None:
    runner = Runner(AutoModel.from_pretrained(heads("backbone").folder), 0, ("pooler_output",))
    together = vectors(runner.run(ROWS, PipelineOptions()), 3)
    alone = vectors(runner.run(ROWS, PipelineOptions(batch_size=1)), 3)
    assert together.shape == (3, 32)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert vectors(iter([]), 0).shape == (0, 0)


def test_a_graph_that_pools_by_itself(heads: Heads, tmp_path: Path) -> None:
    """As optimum exports sentence-transformers folders."""
    folder = tmp_path / "a"
    shutil.copytree(heads("backbone").folder, folder)
    (folder / "headway.json").unlink()
    model = onnx.load(folder / "onnx" / "model.onnx")
    names = {"last_hidden_state": "token_states", "pooler_output": "sentence_embedding"}
    for old, new in names.items():
        model.graph.node.append(helper.make_node("Identity", [old], [new]))
    model.graph.output[1].name = "sentence_embedding"
    del model.graph.output[0]
    onnx.save(model, folder / "onnx" / "model.onnx")
    embeddings = pipeline("embed", model=folder)(["Hello world", "fox"])
    expected = AutoModel.from_pretrained(heads("backbone").folder)
    tokenizer = heads("backbone").tokenizer
    for text, embedding in zip(["Hello world", "fox"], embeddings, strict=True):
        output = expected(**tokenizer(text, return_tensors="np"))
        np.testing.assert_allclose(embedding, output.pooler_output[0], atol=1e-5)


def test_options_at_the_call_win(heads: Heads) -> None:
    embed = heads("backbone").pipeline("embed", batch_size=3, truncate_dim=4)
    assert embed.options.batch_size == 3
    assert embed("Hello").shape == (4,)
    assert embed("Hello", truncate_dim=2).shape == (2,)
    with pytest.raises(OptionError, match="max_batch_tokens is 0"):
        embed("Hello", max_batch_tokens=0)
