"""`headway inspect`: facts of artifacts, whole, foreign and broken."""

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from tiny_graphs import classifier_model, write_artifact

from headway.runtime.artifact import Artifact
from headway.runtime.cli import main
from headway.runtime.commands.inspection import inspect_artifact


def inspect(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str]:
    status = main(["inspect", *map(str, argv)])
    return status, capsys.readouterr().out


def test_text(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = inspect(capsys, classifier)
    assert status == 0
    size_bytes = (classifier / "onnx" / "model.onnx").stat().st_size
    expected = [
        "BertForSequenceClassification · text-classification",
        "",
        f"  folder         {classifier}",
        "  model type     bert",
        "  longest input  12 tokens",
        "  labels         NEGATIVE, POSITIVE",
        "  tokenizer      WordLevel, 15 entries, up to 12 tokens",
        "  source         checkpoint tiny",
        "  traced by      by hand",
        "",
        f"fp32  {size_bytes} bytes" if size_bytes < 1000 else f"fp32  {size_bytes / 1000:.1f} kB",
        "  onnx/model.onnx  opset 17",
        "    input   input_ids       int64    (batch_size, sequence_length)",
        "    input   attention_mask  int64    (batch_size, sequence_length)",
        "    output  logits          float32  (batch_size, 2)",
        "    operators  Gather 1",
        "  verified against PyTorch",
        "    batch 1, length 1  error 1.5e-07",
        "",
        "made with headway 0.1.0",
    ]
    assert text.splitlines() == expected


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("preprocessor_config.json", {"image_processor_type": "ViTImageProcessor"}),
        ("processor_config.json", {"image_processor": {"image_processor_type": "ViTImageProcessor"}}),
    ],
)
def test_images_have_preprocessing_and_no_length(
    file: str, settings: dict[str, Any], classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(classifier, tmp_path / "images")
    (folder / "tokenizer.json").unlink()
    (folder / file).write_text(json.dumps(settings))
    _, text = inspect(capsys, folder)
    assert "  preprocessing  ViTImageProcessor" in text.splitlines()
    assert "tokenizer" not in text
    assert "longest input" not in text


def test_json(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = inspect(capsys, classifier, "--json")
    facts = json.loads(text)
    assert status == 0
    assert facts == inspect_artifact(Artifact(classifier))
    assert facts["task"] == "text-classification"
    assert facts["labels"] == ["NEGATIVE", "POSITIVE"]
    graph = facts["variants"]["fp32"]["graphs"]["model"]
    assert graph["inputs"][0] == {"name": "input_ids", "dtype": "int64", "shape": ["batch_size", "sequence_length"]}
    assert facts["tokenizer"]["vocab_size"] == 15
    assert "check" not in facts


def test_several_precisions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, text = inspect(capsys, write_artifact(tmp_path / "a", dtypes=("fp32", "int8")))
    assert "onnx/model_quantized.onnx" in text
    assert [line.split()[0] for line in text.splitlines() if line[:1] not in ("", " ")][1:3] == ["fp32", "int8"]


def test_check_passed(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = inspect(capsys, classifier, "--check")
    assert (status, text.splitlines()[-1]) == (0, "check: every file is as the manifest says")
    status, text = inspect(capsys, classifier, "--check", "--json")
    assert (status, json.loads(text)["check"]) == (0, {"passed": True, "changed": {}})


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_check_failed(damaged: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    path = damaged / "onnx" / "model.onnx"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    assert inspect(capsys, damaged)[0] == 0
    status, text = inspect(capsys, damaged, "--check", *options)
    assert status == 1
    if options:
        check = json.loads(text)["check"]
        assert (check["passed"], list(check["changed"])) == (False, ["onnx/model.onnx"])
    else:
        assert text.splitlines()[-1].startswith("check: onnx/model.onnx changed: sha256 is ")


def test_file_of_another_size_is_a_warning_at_once(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (damaged / "onnx" / "model.onnx").write_bytes(b"short")
    status, text = inspect(capsys, damaged)
    assert status == 0
    assert "model.onnx has 5 bytes; the manifest says" in text


def test_folder_without_a_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "onnx").mkdir()
    onnx.save(classifier_model(), tmp_path / "onnx" / "model_quantized.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"x")
    status, text = inspect(capsys, tmp_path, "--json")
    facts: dict[str, Any] = json.loads(text)
    assert status == 0
    graph = facts["variants"]["onnx/model_quantized.onnx"]["graphs"]["model_quantized"]
    assert graph["outputs"] == [{"name": "logits", "dtype": "float32", "shape": ["batch_size", 2]}]
    assert facts["variants"]["broken.onnx"]["graphs"] == {}
    assert facts["warnings"][0] == "no headway.json: another tool wrote this folder"
    assert "broken.onnx is truncated or not an ONNX file" in facts["warnings"][1]
    status, text = inspect(capsys, tmp_path)
    assert status == 0
    assert "tokenizer      none: the model takes arrays" in text
    status, text = inspect(capsys, tmp_path, "--check")
    assert (status, text.splitlines()[-1]) == (1, "check: there is no manifest to compare with")


@pytest.mark.parametrize(
    ("name", "content", "warning"),
    [
        ("tokenizer.json", "{", "tokenizer.json is not readable JSON"),
        ("tokenizer_config.json", "[]", "tokenizer_config.json holds a JSON list"),
        ("config.json", '{"id2label": 3}', "id2label is '3'"),
    ],
)
def test_broken_files_are_warnings(
    damaged: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, warning: str
) -> None:
    (damaged / name).write_text(content)
    status, text = inspect(capsys, damaged)
    assert status == 0
    assert any(line.startswith("warning: ") and warning in line for line in text.splitlines())


@pytest.mark.parametrize(
    "content", ['{"model": 3}', '{"model": {"vocab": 3}}', "{}", '{"model": {"vocab": [["a", 0]]}}']
)
def test_odd_tokenizers(damaged: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    (damaged / "tokenizer.json").write_text(content)
    assert inspect(capsys, damaged)[0] == 0


def test_errors(tmp_path: Path, damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / "missing/x/y")]) == 1
    assert "is neither a folder nor a hub id" in capsys.readouterr().err
    (damaged / "headway.json").write_text('{"format_version": 99}')
    assert main(["inspect", str(damaged)]) == 1
    assert "has format version 99; this Headway reads up to 1. Upgrade headway." in capsys.readouterr().err


def test_a_broken_graph_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(classifier_model(), tmp_path / "model.onnx")
    (tmp_path / "model.onnx").write_bytes((tmp_path / "model.onnx").read_bytes()[:40])
    _, text = inspect(capsys, tmp_path)
    assert len([line for line in text.splitlines() if "is truncated" in line]) == 1
