"""Artifacts that onnxruntime-genai opens: read back here by its own layout, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM

from headway.export import export, genai
from headway.runtime import load_model
from headway.runtime.artifact import Artifact
from headway.runtime.errors import OptionError, VerificationError
from headway.runtime.generation.decoder import Decoder

IDS = np.array([[5, 9, 11, 23, 4, 8, 31]])


@pytest.fixture(scope="module")
def model() -> Any:
    """A tiny Llama whose next tokens differ."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 48, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2}
    config = LlamaConfig(
        **sizes, num_attention_heads=2, max_position_embeddings=128, initializer_range=0.6, eos_token_id=[2, 3]
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def artifact(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its artifact, which onnxruntime-genai opens too."""
    folder = tmp_path_factory.mktemp("genai") / "out"
    export(model, folder, genai=True, progress=False)
    return folder


def test_the_folder_is_whole_and_weights_are_there_once(artifact: Path, model: Any) -> None:
    assert Artifact(artifact).changed_files() == {}
    sizes = {path.name: path.stat().st_size for path in (artifact / "onnx").iterdir()}
    assert sizes.keys() == {"model.onnx", "model.onnx_data", "model_genai.onnx"}
    shared = [
        onnx.load(artifact / "onnx" / name, load_external_data=False) for name in ("model.onnx", "model_genai.onnx")
    ]
    locations = [
        {entry.value for tensor in graph.graph.initializer for entry in tensor.external_data} for graph in shared
    ]
    assert locations[0] == locations[1]
    wanted = model.generate(torch.tensor(IDS), max_new_tokens=9, do_sample=False, eos_token_id=None, pad_token_id=0)
    output = load_model(artifact, device="cpu").generate(IDS, max_new_tokens=9, do_sample=False, eos_token_id=None)
    assert np.array_equal(output, wanted)


def test_read_by_its_own_layout(artifact: Path, model: Any, tmp_path: Path) -> None:
    """What onnxruntime-genai sees: genai_config.json and the graph that it names."""
    shutil.copytree(artifact, tmp_path / "genai")
    (tmp_path / "genai" / "headway.json").unlink()
    loaded = load_model(tmp_path / "genai", device="cpu", num_threads=1)
    assert loaded.artifact.layout.kind == "onnxruntime-genai"
    assert isinstance(loaded.decoder, Decoder)
    assert loaded.session.path.name == "model_genai.onnx"
    padded = np.concatenate([IDS, [[0, 0, 0, 0, 7, 10, 6]]])
    mask = (padded != 0).astype(np.int64)
    options = {"max_new_tokens": 9, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    wanted = model.generate(torch.tensor(padded), attention_mask=torch.tensor(mask), **options)
    assert np.array_equal(loaded.generate(padded, attention_mask=mask, **options), wanted)


def test_settings(artifact: Path) -> None:
    config = json.loads((artifact / "genai_config.json").read_text())
    decoder = config["model"]["decoder"]
    assert decoder["filename"] == "onnx/model_genai.onnx"
    assert (decoder["num_hidden_layers"], decoder["num_key_value_heads"], decoder["head_size"]) == (2, 2, 16)
    assert (config["model"]["eos_token_id"], config["model"]["pad_token_id"]) == ([2, 3], 2)
    assert (config["model"]["type"], config["model"]["context_length"], config["search"]["max_length"]) == (
        "llama",
        128,
        128,
    )


def test_what_is_no_decoder(tmp_path: Path) -> None:
    sizes = {"vocab_size": 48, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    classifier = BertForSequenceClassification(BertConfig(**sizes, num_attention_heads=2))
    with pytest.raises(OptionError, match="genai=True is for language models that are one decoder; this is a head"):
        export(classifier, tmp_path / "out", genai=True, progress=False)
    assert not (tmp_path / "out").exists()


def test_a_graph_that_disagrees(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(artifact, tmp_path / "copy")
    manifest = Artifact(folder).manifest
    original = genai._with_mask

    def negated(model: onnx.ModelProto) -> onnx.ModelProto:
        changed = original(model)
        last = next(node for node in changed.graph.node if "logits" in node.output)
        last.output[0] = "logits_before"
        changed.graph.node.append(onnx.helper.make_node("Neg", ["logits_before"], ["logits"]))
        return changed

    assert manifest is not None
    monkeypatch.setattr(genai, "_with_mask", negated)
    with pytest.raises(VerificationError, match=r"model_genai.onnx and model.onnx differ by"):
        genai.write_genai(folder, manifest, "fp32")
