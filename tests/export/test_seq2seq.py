"""What an exported encoder-decoder is made of, and what happens where a graph is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import torch
from seq2seq_parity import exported, tiny_seq2seq

from headway.export import export, seq2seq_trace
from headway.runtime import AutoModel, AutoModelForSeq2SeqLM
from headway.runtime.errors import ExportError, OptionError, TaskError


@pytest.fixture(scope="module")
def bart() -> torch.nn.Module:
    """A tiny BART, whose embedding serves encoder, decoder and output projection."""
    return tiny_seq2seq("bart")


@pytest.fixture(scope="module")
def artifact(bart: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny BART exported."""
    folder = tmp_path_factory.mktemp("bart") / "out"
    exported(bart, folder)
    return folder


def graph(artifact: Path, component: str) -> onnx.ModelProto:
    return onnx.load(artifact / "onnx" / f"{component}.onnx", load_external_data=False)


def axes(values) -> dict[str, list[str | int]]:
    shapes = {value.name: value.type.tensor_type.shape.dim for value in values}
    return {name: [axis.dim_param or axis.dim_value for axis in shape] for name, shape in shapes.items()}


def stored_at(model: onnx.ModelProto) -> dict[tuple[str, int], int]:
    """(file, offset) → bytes of every weight outside the graph."""
    places = {}
    for tensor in model.graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if entries:
            places[entries["location"], int(entries["offset"])] = int(entries["length"])
    return places


def test_encoder_gives_what_cross_attention_reads(artifact):
    encoder = graph(artifact, "encoder_model").graph
    assert axes(encoder.input) == {
        "input_ids": ["batch_size", "encoder_sequence_length"],
        "attention_mask": ["batch_size", "encoder_sequence_length"],
    }
    outputs = axes(encoder.output)
    assert list(outputs) == [
        "last_hidden_state",
        *(f"present.{layer}.encoder.{kind}" for layer in (0, 1) for kind in ("key", "value")),
    ]
    heads, head_dim = outputs["present.0.encoder.key"][1::2]
    assert outputs["present.0.encoder.key"] == ["batch_size", heads, "encoder_sequence_length", head_dim]


def test_decoder_takes_a_past_and_shared_encoder_rows(artifact):
    decoder = graph(artifact, "decoder_model").graph
    inputs, outputs = axes(decoder.input), axes(decoder.output)
    assert inputs["input_ids"] == ["batch_size", "decoder_sequence_length"]
    assert inputs["encoder_attention_mask"] == ["encoder_batch_size", "encoder_sequence_length"]
    assert inputs["past_key_values.1.decoder.value"][0::2] == ["batch_size", "past_decoder_sequence_length"]
    assert inputs["past_key_values.1.encoder.value"][0::2] == ["encoder_batch_size", "encoder_sequence_length"]
    assert outputs["logits"][:2] == ["batch_size", "decoder_sequence_length"]
    assert outputs["present.1.decoder.value"][0::2] == ["batch_size", "total_decoder_sequence_length"]


def test_weights_are_stored_once(bart, artifact):
    encoder, decoder = (stored_at(graph(artifact, f"{side}_model")) for side in ("encoder", "decoder"))
    shared = encoder.keys() & decoder.keys()
    embedding = bart.get_input_embeddings().weight
    assert [encoder[place] for place in shared if encoder[place] >= embedding.nbytes] == [embedding.nbytes]
    parameters = sum(parameter.nbytes for parameter in bart.parameters())
    files = sum(path.stat().st_size for path in (artifact / "onnx").iterdir())
    graphs = sum(path.stat().st_size for path in (artifact / "onnx").glob("*.onnx"))
    assert files - graphs <= 1.02 * parameters
    assert {location for location, _ in (*encoder, *decoder)} == {"model.onnx_data"}


def test_manifest(artifact):
    manifest = json.loads((artifact / "headway.json").read_text())
    assert manifest["task"] == "text2text-generation"
    assert list(manifest["variants"]["fp32"]["components"]) == ["encoder_model", "decoder_model"]
    assert (manifest["max_length"], manifest["max_decoder_length"]) == (128, 128)
    cases = manifest["variants"]["fp32"]["verification"]["cases"]
    assert max(case["error"] for case in cases) < 1e-4
    names = " ".join(case["name"] for case in cases)
    for part in ("encoder", "decoder", "length 1", "ragged", "padded on the left", "rows per input", "greedy"):
        assert part in names


def test_other_classes_refuse_it(artifact):
    with pytest.raises(TaskError, match="AutoModel loads feature-extraction"):
        AutoModel.from_pretrained(artifact)
    with pytest.raises(OptionError, match="file_name"):
        AutoModelForSeq2SeqLM.from_pretrained(artifact, file_name="decoder_model.onnx")


@pytest.fixture
def wrong_tracer(bart):
    """A tracer of the decoder of another model with the same shapes."""
    other = tiny_seq2seq("bart")
    with torch.no_grad():
        other.model.decoder.layers[1].fc1.weight.mul_(1.5)

    def trace(model, spec, encoder_inputs):
        return seq2seq_trace._trace_decoder(other, spec, encoder_inputs, shares_rows=False)

    return trace


def test_a_wrong_graph_gives_way_to_the_next_path(bart, wrong_tracer, monkeypatch, tmp_path):
    paths = {"wrong": wrong_tracer, "right": seq2seq_trace._PATHS["decoder"]["attention interface"]}
    monkeypatch.setattr(seq2seq_trace, "_PATHS", {**seq2seq_trace._PATHS, "decoder": paths})
    manifest = export(bart, tmp_path / "out", task="text2text-generation", progress=False).manifest
    assert manifest.trace["path"] == "attention interface (encoder), right (decoder)"
    assert "disagree" in manifest.trace["refused"]["wrong (decoder)"]


def test_no_right_graph_is_no_export(bart, wrong_tracer, monkeypatch, tmp_path):
    monkeypatch.setattr(seq2seq_trace, "_PATHS", {**seq2seq_trace._PATHS, "decoder": {"wrong": wrong_tracer}})
    with pytest.raises(ExportError, match=r"decoder of Bart.* could not be exported. wrong .*disagree"):
        export(bart, tmp_path / "out", task="text2text-generation", progress=False)
    assert list(tmp_path.iterdir()) == []
