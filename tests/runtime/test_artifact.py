"""The artifact folder: what is found in it, and what is refused."""

import json
import os
import shutil
from pathlib import Path

import onnx
import pytest
from tiny_graphs import classifier_model, write_artifact, write_config

from headway.runtime.artifact import DTYPE_SUFFIXES, Artifact, onnx_file_name
from headway.runtime.errors import (
    ArtifactNotFoundError,
    CorruptArtifactError,
    NotExportedError,
    UnsafeArtifactError,
)
from headway.runtime.layouts.tasks import task_of_config


def test_what_a_manifest_says(classifier: Path) -> None:
    artifact = Artifact(classifier)
    assert (artifact.task, artifact.likely_task, artifact.max_length) == ("text-classification",) * 2 + (12,)
    assert artifact.variants == ("fp32",)
    assert artifact.model_file() == classifier / "onnx" / "model.onnx"
    assert artifact.changed_files() == {}


def test_folders_of_other_tools(tmp_path: Path) -> None:
    onnx.save(classifier_model(), tmp_path / "model_quantized.onnx")
    write_config(tmp_path, "BertForSequenceClassification")
    artifact = Artifact(tmp_path)
    assert (artifact.task, artifact.likely_task, artifact.variants) == (None, "text-classification", ("int8",))
    assert artifact.model_file().name == "model_quantized.onnx"
    with pytest.raises(ArtifactNotFoundError, match=r"no model in fp16; it has model_quantized.onnx"):
        artifact.model_file(dtype="fp16")


def test_dtypes(tmp_path: Path) -> None:
    artifact = Artifact(write_artifact(tmp_path / "a", dtypes=("int8", "fp16")))
    assert artifact.chosen_dtype() == "int8"
    assert artifact.chosen_dtype("fp16") == "fp16"
    assert artifact.model_file(dtype="fp16").name == "model_fp16.onnx"
    with pytest.raises(ArtifactNotFoundError, match="no variant 'fp32'; it has int8, fp16"):
        artifact.model_file(dtype="fp32")
    with pytest.raises(ArtifactNotFoundError, match="no graph 'decoder_model' in int8; it has model"):
        artifact.model_file("decoder_model")


@pytest.mark.parametrize("dtype", DTYPE_SUFFIXES)
def test_file_names(dtype: str) -> None:
    name = onnx_file_name("model", dtype)
    assert name.startswith("onnx/model")
    assert name.endswith(".onnx")


def test_explicit_file(classifier: Path) -> None:
    artifact = Artifact(classifier)
    assert artifact.model_file(file_name="model.onnx") == artifact.model_file(file_name="onnx/model.onnx")
    with pytest.raises(ArtifactNotFoundError, match=r"has no other.onnx; it has onnx/model.onnx"):
        artifact.model_file(file_name="other.onnx")


@pytest.mark.parametrize("name", ["../secret.bin", "/etc/passwd"])
def test_explicit_file_outside(classifier: Path, name: str) -> None:
    with pytest.raises(UnsafeArtifactError, match="outside its folder"):
        Artifact(classifier).model_file(file_name=name)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotFoundError, match="is not a folder"):
        Artifact(tmp_path / "missing")
    with pytest.raises(ArtifactNotFoundError, match=r"holds no headway.json and no ONNX file"):
        Artifact(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "model.gguf"])
def test_only_pytorch_weights(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(NotExportedError, match=r"headway export .* or pass export=True"):
        Artifact(tmp_path)
    with pytest.raises(FileNotFoundError):
        Artifact(tmp_path)


def test_a_large_tree_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    onnx.save(classifier_model(), deep / "model.onnx")
    monkeypatch.setattr(Path, "rglob", lambda *arguments: pytest.fail("the whole tree was searched"))
    with pytest.raises(ArtifactNotFoundError):
        Artifact(tmp_path)


def test_file_of_another_size(damaged: Path) -> None:
    path = damaged / "onnx" / "model.onnx"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(CorruptArtifactError, match=r"model.onnx has \d+ bytes; the manifest says \d+"):
        Artifact(damaged).model_file()
    assert list(Artifact(damaged).changed_files()) == ["onnx/model.onnx"]


def test_file_of_same_size_and_other_content(damaged: Path) -> None:
    path = damaged / "onnx" / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    artifact = Artifact(damaged)
    assert artifact.changed_files(contents=False) == {}
    assert "sha256" in artifact.changed_files()["onnx/model.onnx"]


def test_file_that_is_missing(damaged: Path) -> None:
    (damaged / "onnx" / "model.onnx").unlink()
    with pytest.raises(CorruptArtifactError, match="in the manifest and not on disk"):
        Artifact(damaged).model_file()
    (damaged / "onnx" / "model.onnx").mkdir()
    with pytest.raises(CorruptArtifactError, match="or is no file"):
        Artifact(damaged).model_file()


def test_file_that_is_a_link_to_outside(damaged: Path, outside: Path) -> None:
    path = damaged / "onnx" / "model.onnx"
    path.unlink()
    path.symlink_to(outside)
    with pytest.raises(UnsafeArtifactError, match=r"is a link to .*outside"):
        Artifact(damaged).model_file()
    assert "is a link" in Artifact(damaged).changed_files()["onnx/model.onnx"]


def test_folder_that_is_a_link_to_outside(damaged: Path, classifier: Path) -> None:
    shutil.rmtree(damaged / "onnx")
    (damaged / "onnx").symlink_to(classifier / "onnx")
    with pytest.raises(UnsafeArtifactError, match="is a link to"):
        Artifact(damaged).model_file()


def test_links_within_and_to_the_folder_are_fine(damaged: Path, tmp_path: Path) -> None:
    (damaged / "onnx" / "model.onnx").rename(damaged / "kept.bin")
    (damaged / "onnx" / "model.onnx").symlink_to("../kept.bin")
    (tmp_path / "link").symlink_to(damaged)
    assert Artifact(tmp_path / "link").changed_files() == {}


def test_links_in_a_circle(damaged: Path) -> None:
    path = damaged / "onnx" / "model.onnx"
    path.unlink()
    path.symlink_to("model.onnx")
    with pytest.raises(CorruptArtifactError):
        Artifact(damaged).model_file()


@pytest.mark.parametrize("name", ["headway.json", "config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\xfe", b'"text"', b"[" * 100_000])
def test_files_that_are_no_json_object(damaged: Path, name: str, content: bytes) -> None:
    (damaged / name).write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=rf"{name} (is not readable JSON|holds a JSON)"):
        Artifact(damaged)


@pytest.mark.parametrize("name", ["headway.json", "config.json"])
def test_folders_where_files_are_expected(damaged: Path, name: str) -> None:
    (damaged / name).unlink()
    (damaged / name).mkdir()
    with pytest.raises(CorruptArtifactError, match="is a folder; a JSON file was expected"):
        Artifact(damaged)


def test_broken_link_is_not_taken_for_no_manifest(damaged: Path) -> None:
    (damaged / "headway.json").unlink()
    (damaged / "headway.json").symlink_to("gone.json")
    with pytest.raises(CorruptArtifactError, match="a broken link"):
        Artifact(damaged)


def test_pipes_are_not_read(damaged: Path) -> None:
    (damaged / "config.json").unlink()
    os.mkfifo(damaged / "config.json")
    with pytest.raises(CorruptArtifactError, match="no regular file"):
        Artifact(damaged)


def test_unreadable_file(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(path: Path, *arguments: object, **options: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", deny)
    with pytest.raises(CorruptArtifactError, match=r"headway.json cannot be read: Permission denied. Check"):
        Artifact(classifier)


def test_files_that_make_up_an_artifact(damaged: Path) -> None:
    for name in ("model.safetensors", ".git/config", ".hidden", "1_Pooling/config.json", "onnx/extra.safetensors"):
        (damaged / name).parent.mkdir(exist_ok=True)
        (damaged / name).write_text("{}")
    names = {path.relative_to(damaged).as_posix() for path in Artifact(damaged).own_files()}
    assert {"headway.json", "onnx/model.onnx", "tokenizer.json", "1_Pooling/config.json"} <= names
    assert not {"model.safetensors", ".git/config", ".hidden"} & names


@pytest.mark.parametrize(
    ("architectures", "task"),
    [
        (["BertModel"], "feature-extraction"),
        (["RobertaForMaskedLM"], "fill-mask"),
        (["GPT2LMHeadModel"], "text-generation"),
        (["T5ForConditionalGeneration"], "text2text-generation"),
        (["WhisperForConditionalGeneration"], "automatic-speech-recognition"),
        (["Other"], None),
        ([], None),
        ("BertModel", None),
        ([7], None),
    ],
)
def test_task_that_an_architecture_suggests(architectures: object, task: str | None) -> None:
    assert task_of_config({"architectures": architectures}) == task


@pytest.mark.parametrize("architecture", ["BertModel", "RobertaForMaskedLM", "GPT2LMHeadModel", "Other"])
def test_the_graph_has_the_last_word_on_the_task(tmp_path: Path, architecture: str) -> None:
    """A config names the checkpoint, which a classifier may have been made of."""
    onnx.save(classifier_model(), tmp_path / "model.onnx")
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    assert Artifact(tmp_path).likely_task == "text-classification"


def test_whisper_without_an_architecture_listens(tmp_path: Path) -> None:
    """Folders of optimum: two graphs, and a config that may name the model type alone."""
    for name in ("encoder_model", "decoder_model"):
        onnx.save(classifier_model(), tmp_path / f"{name}.onnx")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "whisper"}))
    assert Artifact(tmp_path).likely_task == "automatic-speech-recognition"
