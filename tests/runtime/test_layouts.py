"""How folders of other tools are read: which file is which graph of which precision."""

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path

import foreign_folders as foreign
import numpy as np
import onnx
import pytest
from foreign_folders import greedy, sum_logits
from hub_cache import fill_cache
from tiny_graphs import answer_model, choice_model, classifier_model, tagger_model

from headway.runtime import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    load_model,
)
from headway.runtime.artifact import Artifact
from headway.runtime.errors import (
    ArtifactNotFoundError,
    CorruptArtifactError,
    UnsafeArtifactError,
    UnsupportedFormatError,
)
from headway.runtime.layouts import read_layout
from headway.runtime.layouts.dtypes import chosen_dtype

PROMPT = [4, 9, 5]


def _none(file: str) -> None:
    return None


@pytest.mark.parametrize(
    ("files", "variants"),
    [
        (["model.onnx"], {"fp32": {"model": "model.onnx"}}),
        (["anything.onnx"], {"fp32": {"model": "anything.onnx"}}),
        (["one.onnx", "other.onnx"], {}),
        # What lies in the onnx folder goes before what lies beside it; deeper ones are another model's.
        (["model.onnx", "onnx/model.onnx", "ner/model.onnx"], {"fp32": {"model": "onnx/model.onnx"}}),
        (
            ["onnx/model_fp16.onnx", "onnx/model_bnb4.onnx", "onnx/model_q4f16.onnx"],
            {
                "fp16": {"model": "onnx/model_fp16.onnx"},
                "q4f16": {"model": "onnx/model_q4f16.onnx"},
                "bnb4": {"model": "onnx/model_bnb4.onnx"},
            },
        ),
        (
            ["onnx/model_int8.onnx", "onnx/model_quantized.onnx"],
            {"int8": {"model": "onnx/model_int8.onnx"}, "q8": {"model": "onnx/model_quantized.onnx"}},
        ),
        (
            ["decoder_with_past_model_quantized.onnx", "decoder_model_merged_quantized.onnx"],
            {
                "int8": {
                    "decoder_model_merged": "decoder_model_merged_quantized.onnx",
                    "decoder_with_past_model": "decoder_with_past_model_quantized.onnx",
                }
            },
        ),
        (
            ["encoder.onnx", "decoder.onnx"],
            {"fp32": {"decoder_model": "decoder.onnx", "encoder_model": "encoder.onnx"}},
        ),
    ],
)
def test_file_names(files: Sequence[str], variants: dict[str, dict[str, str]]) -> None:
    layout = read_layout(files, _none)
    assert layout.variants == variants
    assert list(layout.variants) == list(variants)


def test_preferred_dtype() -> None:
    config = {"transformers.js_config": {"dtype": "q4"}}
    assert chosen_dtype(None, ("fp16", "q4"), config) == "q4"
    assert chosen_dtype(None, ("fp32", "q4"), config) == "fp32"
    assert chosen_dtype(None, ("fp16", "int8"), config) == "fp16"
    # To transformers.js a file called _quantized is q8.
    assert chosen_dtype("q8", ("int8",), {}) == "int8"


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ({"export_format": "openvino"}, UnsupportedFormatError, "says format 'openvino'"),
        ({"export_format": "onnx", "schema_version": 2}, UnsupportedFormatError, "schema 2"),
        ({"export_format": "onnx", "components": {}}, CorruptArtifactError, "has the components {}"),
        ({"export_format": "onnx", "components": {"a": {"file": "../b"}}}, UnsafeArtifactError, "outside its folder"),
    ],
)
def test_export_json_that_cannot_be_used(
    tmp_path: Path, content: dict[str, object], error: type[Exception], message: str
) -> None:
    onnx.save(classifier_model(), tmp_path / "model.onnx")
    (tmp_path / "export.json").write_text(json.dumps(content))
    with pytest.raises(error, match=message):
        Artifact(tmp_path)


_OWN_NAMES = {"inputs": {"past_key_names": "past.%d"}}


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ({}, CorruptArtifactError, r"has no model.decoder"),
        ({"decoder": {}, "vision": {}}, UnsupportedFormatError, "describes vision beside the decoder"),
        ({"decoder": {"pipeline": []}}, UnsupportedFormatError, "a pipeline of graphs"),
        ({"decoder": {"filename": "/etc/passwd"}}, UnsafeArtifactError, "outside its folder"),
        ({"decoder": {}, "context_length": "long"}, CorruptArtifactError, "says context_length is 'long'"),
        ({"decoder": {**_OWN_NAMES, "num_hidden_layers": [1]}}, CorruptArtifactError, r"num_hidden_layers is \[1\]"),
        ({"decoder": {**_OWN_NAMES, "num_hidden_layers": 10**9}}, CorruptArtifactError, "a whole number up to 10,000"),
    ],
)
def test_genai_config_that_cannot_be_used(
    tmp_path: Path, model: dict[str, object], error: type[Exception], message: str
) -> None:
    onnx.save(classifier_model(), tmp_path / "model.onnx")
    settings = {"model": model, "search": {"max_length": 20}}
    (tmp_path / "genai_config.json").write_text(json.dumps(settings))
    with pytest.raises(error, match=message):
        Artifact(tmp_path)


def test_genai_config_stands_in_for_the_others(tmp_path: Path) -> None:
    artifact = Artifact(foreign.write_genai(tmp_path))
    assert artifact.likely_task == "text-generation"
    config = AutoConfig.from_pretrained(tmp_path)
    assert (config.model_type, config.max_position_embeddings) == ("llama", foreign.MAX_POSITIONS)
    assert {"model_type": "llama", "head_dim": foreign.DIM, "num_key_value_heads": 1}.items() <= artifact.config.items()


def test_several_variants_and_several_heads(tmp_path: Path) -> None:
    for folder, model in ((tmp_path, classifier_model()), (tmp_path / "ner", tagger_model())):
        (folder / "onnx").mkdir(parents=True)
        for suffix in ("", "_O3", "_qint8_avx512", "_no_gather_q4"):
            onnx.save(model, folder / "onnx" / f"model{suffix}.onnx")
    ids = [[2, 5, 3]]
    for options in ({}, {"dtype": "O3"}, {"dtype": "qint8_avx512"}, {"file_name": "model_no_gather_q4.onnx"}):
        assert AutoModelForSequenceClassification.from_pretrained(tmp_path, **options)(ids).logits.shape == (1, 2)
        head = AutoModelForTokenClassification.from_pretrained(tmp_path, subfolder="ner", **options)
        assert head(ids).logits.shape == (1, 3, 2)
    with pytest.raises(ArtifactNotFoundError, match=r"no model in fp16; it has .*onnx/model_O3.onnx"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype="fp16")


def _is_right(folder: Path | str, **options: object) -> bool:
    model = load_model(folder, "text-generation", device="cpu", num_threads=1, **options)
    output = model.generate(np.array([PROMPT]), max_new_tokens=5, do_sample=False, eos_token_id=None)
    return bool(output[0, len(PROMPT) :].tolist() == greedy(sum_logits, PROMPT, 5))


def test_hub_cache_of_links(tmp_path: Path) -> None:
    folder = foreign.write_transformers_export(tmp_path / "export")
    snapshot = fill_cache(tmp_path / "cache", "org/model", folder)
    assert (snapshot / "decode.onnx.data").is_symlink()
    assert _is_right("org/model", cache_dir=tmp_path / "cache", local_files_only=True)
    assert _is_right(snapshot)


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    folder = foreign.write_transformers_export(tmp_path / "export")
    before = {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert _is_right(folder)
    finally:
        folder.chmod(0o755)
    assert before == {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def test_folder_that_may_be_listed_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "is_symlink", refuse)
    with pytest.raises(CorruptArtifactError, match=r"headway.json cannot be read: Permission denied"):
        Artifact(tmp_path)


def test_folder_on_another_file_system(tmp_path: Path) -> None:
    """Wherever the machine has memory as a file system; elsewhere it is an ordinary folder behind a link."""
    other = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path
    folder = other / f"headway-layouts-{os.getpid()}"
    try:
        foreign.write_transformers_export(folder)
        (tmp_path / "link").symlink_to(folder)
        assert _is_right(folder)
        assert _is_right(tmp_path / "link")
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


@pytest.mark.parametrize(
    ("graph", "name", "task", "task_with_config"),
    [
        (foreign.sum_decoder(), "model.onnx", "text-generation", "token-classification"),
        (foreign.sum_decoder(is_merged=True), "onnx/decoder_model_merged.onnx", "text-generation", None),
        # A config keeps the architecture of the checkpoint, whatever was exported of it.
        (foreign.encoder_graph(), "model.onnx", "feature-extraction", "feature-extraction"),
        (foreign.embeddings_graph(), "model.onnx", None, "token-classification"),
    ],
)
def test_task_of_a_graph_alone(
    graph: foreign.Graph, name: str, task: str | None, task_with_config: str | None, tmp_path: Path
) -> None:
    graph.save(tmp_path / name)
    assert Artifact(tmp_path).likely_task == task
    foreign.write_config(tmp_path, architectures=["BertForTokenClassification"])
    assert Artifact(tmp_path).likely_task == (task_with_config or "token-classification")


@pytest.mark.parametrize(
    ("model", "task"),
    [
        (classifier_model(), "text-classification"),
        (tagger_model(), "token-classification"),
        (choice_model(), "multiple-choice"),
        (answer_model(), "question-answering"),
    ],
)
def test_head_of_a_graph_alone(model: onnx.ModelProto, task: str, tmp_path: Path) -> None:
    """By the axes of its logits; and whatever a config says of the checkpoint."""
    onnx.save(model, tmp_path / "model.onnx")
    assert Artifact(tmp_path).likely_task == task
    for architecture in ("BertModel", "BertForQuestionAnswering", "BertForTokenClassification"):
        foreign.write_config(tmp_path, architectures=[architecture])
        assert Artifact(tmp_path).likely_task == task


def test_task_of_what_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x3a\xff\xff\x7fbroken")
    assert Artifact(tmp_path).likely_task is None
