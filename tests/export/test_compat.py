"""Artifacts of standard ONNX operators: what is in them, and that they run without ONNX Runtime too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
import tiny_heads
import tiny_tokenizers
import torch
from decoder_parity import WIDE_HEADS, assert_greedy_parity, variant
from onnx.reference import ReferenceEvaluator
from seq2seq_parity import assert_generation_parity, tiny_seq2seq

from headway.benchmarks.tiny_checkpoints import tiny_model
from headway.export import export
from headway.export.precision import REDUCED
from headway.export.standard_operators import write_out
from headway.runtime import AutoModelForCausalLM, AutoModelForSeq2SeqLM
from headway.runtime.artifact import Artifact
from headway.runtime.errors import ExportError, OptionError

IDS = np.array([[5, 9, 11, 23, 4, 8, 31]])
LOOSE = {"min_cosine": 0.7, "min_top_1": 0.0, "max_perplexity_increase": 10.0}
# Large random weights lose much in 4 bits: 0.86 to 0.92, by the order of the vocabulary.
COSINES = {"fp32": 0.999999, "fp16": 0.9999, "int8": 0.98, "q8": 0.98, "q4": 0.8}
# Model type → what its configuration says beyond a tiny one's.
DECODERS: dict[str, dict[str, Any]] = {
    "gemma2": {"sliding_window": 4},
    "gpt_oss": {},
    "mixtral": {},
}


def graphs(folder: Path) -> Iterator[tuple[str, Path]]:
    """Precision and file of every graph."""
    manifest = Artifact(folder).manifest
    assert manifest is not None
    assert manifest.compat
    for dtype, written in manifest.variants.items():
        yield from ((dtype, folder / component.file) for component in written.components.values())


def assert_standard(folder: Path) -> None:
    for _, path in graphs(folder):
        onnx.checker.check_model(str(path), full_check=True)
        model = onnx.load(path, load_external_data=False)
        assert [entry.domain for entry in model.opset_import] == [""]
        assert {node.domain for node in model.graph.node} == {""}
        # ONNX Runtime's own norm hides in ONNX's domain.
        version = model.opset_import[0].version
        assert all(onnx.defs.has(node.op_type, version) for node in model.graph.node)


def feeds_of(path: Path, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Inputs of a graph, with an empty cache."""
    values = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    values["position_ids"] = np.arange(ids.shape[1])[None]
    feeds = {}
    for value in onnx.load(path, load_external_data=False).graph.input:
        sizes = [axis.dim_value or (0 if "past" in axis.dim_param else 1) for axis in value.type.tensor_type.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feeds[value.name] = values.get(value.name, np.zeros(sizes, dtype))
    return feeds


def evaluated(path: Path) -> np.ndarray:
    """Main output of a graph in onnx's own evaluator, which knows none of ONNX Runtime's operators."""
    return ReferenceEvaluator(str(path)).run(None, feeds_of(path, IDS))[0]


def as_written(path: Path) -> np.ndarray:
    """The same by ONNX Runtime, told to fuse nothing: its fused products round activations too."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds_of(path, IDS))[0]


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one.ravel() @ other.ravel() / np.linalg.norm(one) / np.linalg.norm(other))


def close(actual: np.ndarray, expected: np.ndarray, tolerance: float = 1e-4) -> bool:
    return bool(np.abs(actual - expected).max() <= tolerance * np.abs(expected).max())


def assert_runs_alike(model: Any, path: Path, dtype: str) -> None:
    """Both runtimes give the same, and that is PyTorch's as far as the precision goes."""
    with torch.no_grad():
        expected = model(torch.tensor(IDS)).logits.numpy()
    actual = evaluated(path)
    assert close(actual, as_written(path), 1e-2 if dtype in ("fp16", "int8") else 1e-4)
    assert cosine(actual, expected) > COSINES[dtype]
    if dtype == "fp32":
        assert close(actual, expected)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A Llama with tied embeddings, and its folder in every precision."""
    model = variant("llama", {**WIDE_HEADS, "tie_word_embeddings": True})
    folder = tmp_path_factory.mktemp("llama") / "out"
    export(model, folder, compat=True, dtype=["fp32", *REDUCED], accuracy_limits=LOOSE, progress=False)
    return model, folder


def test_a_decoder_has_the_inputs_that_others_feed(llama: tuple[Any, Path]) -> None:
    _, folder = llama
    assert_standard(folder)
    for _, path in graphs(folder):
        graph = onnx.load(path).graph
        names = [value.name for value in graph.input]
        assert names[:3] == ["input_ids", "attention_mask", "position_ids"]
        assert all(name.startswith("past_key_values.") for name in names[3:])
        assert graph.output[0].name == "logits"


@pytest.mark.parametrize("dtype", ["fp32", *sorted(REDUCED)])
def test_a_decoder_in_onnxs_own_evaluator(llama: tuple[Any, Path], dtype: str) -> None:
    model, folder = llama
    assert_runs_alike(model, dict(graphs(folder))[dtype], dtype)
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, device="cpu", num_threads=1)
    with torch.no_grad():
        expected = model(torch.tensor(IDS)).logits.numpy()
    assert cosine(loaded(input_ids=IDS).logits, expected) > COSINES[dtype]


def test_a_table_tied_to_a_product_is_stored_once(llama: tuple[Any, Path]) -> None:
    for dtype, path in graphs(llama[1]):
        sizes = [int(np.prod(tensor.dims)) for tensor in onnx.load(path).graph.initializer]
        table = llama[0].get_input_embeddings().weight.numel()
        assert sizes.count(table) == 1, dtype


@pytest.mark.parametrize("model_type", sorted(DECODERS))
def test_greedy_tokens_are_those_of_transformers(
    model_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = variant(model_type, DECODERS[model_type])
    monkeypatch.setattr("decoder_parity.export", lambda *args, **options: export(*args, compat=True, **options))
    assert_greedy_parity(model, tmp_path / "out")
    assert_standard(tmp_path / "out")


@pytest.mark.parametrize("model_type", ["bart", "t5"])
def test_encoder_decoders(model_type: str, tmp_path: Path) -> None:
    model, folder = tiny_seq2seq(model_type), tmp_path / "out"
    export(model, folder, compat=True, dtype=["fp32", "q8"], accuracy_limits=LOOSE, progress=False)
    assert_standard(folder)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype="fp32", device="cpu", num_threads=1)
    assert_generation_parity(model, loaded)


def test_a_head(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.build("BertTokenizer", model_max_length=tiny_heads.MAX_LENGTH)
    model = tiny_heads.build_model("mask", len(tokenizer), tokenizer.pad_token_id)
    folder = tmp_path / "out"
    export(
        model,
        folder,
        tokenizer=tokenizer,
        compat=True,
        dtype=["fp32", "int8", "q8", "q4"],
        accuracy_limits=LOOSE,
        progress=False,
    )
    assert_standard(folder)
    for dtype, path in graphs(folder):
        assert_runs_alike(model, path, dtype)


def test_a_backbone_with_norms_of_its_own(tmp_path: Path) -> None:
    model = tiny_model("llama", "AutoModel")
    export(model, tmp_path / "out", task="feature-extraction", compat=True, progress=False)
    assert_standard(tmp_path / "out")


def test_what_cannot_be_combined(tmp_path: Path) -> None:
    model = variant("llama", {})
    with pytest.raises(OptionError, match="choose one of genai=True and compat=True"):
        export(model, tmp_path / "out", genai=True, compat=True, progress=False)
    assert not (tmp_path / "out").exists()


def test_an_operator_without_a_standard_form_is_named() -> None:
    states = onnx_ir.Value(name="x", shape=onnx_ir.Shape([2]), type=onnx_ir.TensorType(onnx_ir.DataType.FLOAT))
    node = onnx_ir.node("QuickGelu", [states], domain="com.microsoft")
    graph = onnx_ir.Graph([states], node.outputs, nodes=[node], opset_imports={"": 20, "com.microsoft": 1})
    with pytest.raises(ExportError, match=r"has com\.microsoft::QuickGelu"):
        write_out(onnx_ir.Model(graph, ir_version=10))
