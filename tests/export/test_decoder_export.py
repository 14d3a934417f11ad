"""What an exported decoder looks like, and what keeps a wrong one from being written."""

import numpy as np
import onnx
import pytest
import torch
from decoder_parity import WIDE_HEADS, exported, variant

from headway.benchmarks.tiny_checkpoints import tiny_checkpoint, tiny_model
from headway.export import decoder_norms
from headway.export.convert import export
from headway.export.decoder_verify import verify_decoder
from headway.runtime import AutoModelForCausalLM
from headway.runtime.errors import ExportError, VerificationError
from headway.runtime.manifest import MANIFEST_FILE


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decoder") / "out"
    return exported(tiny_model("llama", "AutoModelForCausalLM"), folder).artifact


def test_inputs_and_outputs_are_named_in_words(artifact):
    component = artifact.manifest.variants["fp32"].components["model"]
    config = artifact.config
    buffer = ("batch_size", config["num_key_value_heads"], "past_sequence_length", config["head_dim"])
    assert {spec.name: (spec.dtype, spec.shape) for spec in component.inputs} == {
        "input_ids": ("int64", ("batch_size", "sequence_length")),
        "position_ids": ("int64", ("batch_size", "sequence_length")),
        "seqlens_k": ("int32", ("batch_size",)),
        "total_sequence_length": ("int32", ()),
        "logits_to_keep": ("int64", ("batch_size", "num_logits")),
        **{f"past_key_values.{i}.{kind}": ("float32", buffer) for i in range(2) for kind in ("key", "value")},
    }
    assert {spec.name: spec.shape for spec in component.outputs} == {
        "logits": ("batch_size", "num_logits", config["vocab_size"]),
        **{f"present.{i}.{kind}": buffer for i in range(2) for kind in ("key", "value")},
    }


def test_one_attention_per_layer_and_packed_projections(artifact):
    operators = artifact.manifest.variants["fp32"].components["model"].operators
    num_layers = artifact.config["num_hidden_layers"]
    assert operators["com.microsoft.GroupQueryAttention"] == num_layers
    assert operators["com.microsoft.SkipSimplifiedLayerNormalization"] == 2 * num_layers
    # Gate and up, down, attention's output, and query, key and value; the output projection last.
    assert operators["com.microsoft.FusedMatMul"] == 4 * num_layers + 1
    assert "Where" not in operators


def test_no_traces_of_tracing_are_left(artifact):
    model = onnx.load(artifact.model_file("model"))
    assert not model.graph.value_info
    assert not model.metadata_props
    assert not any(node.metadata_props for node in model.graph.node)
    assert {initializer.name for initializer in model.graph.initializer} >= {"model.embed_tokens.weight"}


def test_positions_are_no_input_where_attention_counts_them(tmp_path):
    loaded = exported(variant("llama", WIDE_HEADS), tmp_path / "out")
    assert "position_ids" not in loaded.session.input_names
    operators = loaded.artifact.manifest.variants["fp32"].components["model"].operators
    assert "com.microsoft.RotaryEmbedding" not in operators


def test_tied_weights_are_stored_once(tmp_path):
    model = tiny_model("gemma", "AutoModelForCausalLM")
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    export(model, tmp_path / "out", progress=False)
    weights = sum(parameter.nbytes for parameter in model.parameters())
    graph = onnx.load(tmp_path / "out" / "onnx" / "model.onnx")
    stored = sum(len(initializer.raw_data) for initializer in graph.graph.initializer)
    tables = sum(len(i.raw_data) for i in graph.graph.initializer if "rotary_table" in i.name)
    # Norm weights are stored as 1 + weight in place of the checkpoint's; what else is new is a handful of indices.
    assert stored - tables <= weights * 1.02


def test_the_checkpoint_gives_the_same_file_twice(tmp_path):
    folder = tiny_checkpoint(tmp_path / "checkpoint", "llama", "AutoModelForCausalLM")
    for name in ("one", "two"):
        export(folder, tmp_path / name, progress=False)
    one, two = ((tmp_path / name / "onnx" / "model.onnx").read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_wrong_graph_fails_verification(artifact):
    model = tiny_model("llama", "AutoModelForCausalLM")
    verify_decoder(model, artifact.model_file("model"), artifact.max_length, 1e-4)
    with torch.no_grad():
        model.model.layers[1].self_attn.v_proj.weight[0] += 0.05
    with pytest.raises(VerificationError, match="relative error"):
        verify_decoder(model, artifact.model_file("model"), artifact.max_length, 1e-4)


def test_a_graph_that_chooses_other_tokens_fails_whatever_the_tolerance_of_logits(artifact):
    model = tiny_model("llama", "AutoModelForCausalLM", seed=1)
    with pytest.raises(VerificationError, match=r"token 1 is \d+, PyTorch's \d+"):
        verify_decoder(model, artifact.model_file("model"), artifact.max_length, 1e-2)


def test_nothing_is_left_of_an_export_that_disagrees(tmp_path, monkeypatch):
    formula, operator, effective = decoder_norms._KINDS["RMSNorm"]
    kinds = {"RMSNorm": (formula, lambda states, weight, epsilon: operator(states, weight, 0.5), effective)}
    monkeypatch.setattr(decoder_norms, "_KINDS", kinds)
    with pytest.raises(ExportError, match=r"attention interface: .*relative error.*plain trace: .*relative error"):
        export(tiny_model("llama", "AutoModelForCausalLM"), tmp_path / "out", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_the_report_says_which_path_was_taken_and_why(tmp_path):
    report = export(tiny_model("bloom", "AutoModelForCausalLM"), tmp_path / "out", progress=False)
    assert report.manifest.trace == {
        "path": "plain trace",
        "refused": {"attention interface": "the layers that attend through the interface are none"},
    }
    assert "not by attention interface" in report.to_text()
    assert (tmp_path / "out" / MANIFEST_FILE).is_file()


def test_logits_are_computed_where_they_are_wanted(artifact):
    loaded = AutoModelForCausalLM.from_pretrained(artifact.folder, num_threads=1)
    model = tiny_model("llama", "AutoModelForCausalLM")
    ids = np.array([[5, 6, 7, 8]])
    with torch.no_grad():
        expected = model(torch.tensor(ids)).logits.numpy()
    cache = loaded.decoder.new_cache(1, 4)
    np.testing.assert_allclose(loaded.decoder.extend_row(cache, 0, ids[0], 2), expected[0, 2:], rtol=1e-4, atol=1e-5)
