"""Which files of a repository are fetched for one precision: no more than it needs."""

import json
from pathlib import Path

import pytest
from tiny_graphs import write_artifact

from headway.runtime.errors import CorruptArtifactError
from headway.runtime.wanted_files import wanted_files

TRANSFORMERS_JS = [
    "config.json",
    "onnx/decoder_model.onnx",
    "onnx/decoder_model_merged.onnx",
    "onnx/decoder_model_merged_q4.onnx",
    "onnx/decoder_with_past_model.onnx",
    "onnx/encoder_model.onnx",
    "onnx/encoder_model.onnx_data",
    "onnx/encoder_model.onnx_data_1",
    "onnx/encoder_model_q4.onnx",
    "pytorch_model.bin",
]
SENTENCE_TRANSFORMERS = [
    "model.safetensors",
    "onnx/model.onnx",
    "onnx/model_O3.onnx",
    "onnx/model_qint8_avx512.onnx",
    "onnx/model_qint8_avx512_vnni.onnx",
    "openvino/openvino_model.xml",
]


@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [
        (
            None,
            [
                "onnx/decoder_model_merged.onnx",
                "onnx/encoder_model.onnx",
                "onnx/encoder_model.onnx_data",
                "onnx/encoder_model.onnx_data_1",
            ],
        ),
        ("q4", ["onnx/decoder_model_merged_q4.onnx", "onnx/encoder_model_q4.onnx"]),
        ("fp16", []),
    ],
)
def test_merged_decoder_and_data_in_chunks(tmp_path: Path, dtype: str | None, wanted: list[str]) -> None:
    assert wanted_files(tmp_path, TRANSFORMERS_JS, dtype, None) == wanted


@pytest.mark.parametrize(
    ("dtype", "file"),
    [
        (None, "model.onnx"),
        ("O3", "model_O3.onnx"),
        ("qint8_avx512", "model_qint8_avx512.onnx"),
        ("qint8_avx512_vnni", "model_qint8_avx512_vnni.onnx"),
    ],
)
def test_suffixes_that_are_names(tmp_path: Path, dtype: str | None, file: str) -> None:
    assert wanted_files(tmp_path, SENTENCE_TRANSFORMERS, dtype, None) == [f"onnx/{file}"]


def test_explicit_file(tmp_path: Path) -> None:
    files = ["onnx/model_no_gather_q4.onnx", "onnx/model_no_gather_q4.onnx_data", "onnx/model.onnx", "model_q4.onnx"]
    assert wanted_files(tmp_path, files, None, "model_no_gather_q4.onnx") == files[:2]
    assert wanted_files(tmp_path, files, None, "model_q4.onnx") == ["model_q4.onnx"]


def test_manifest(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "a", dtypes=("fp32", "int8", "fp16"))
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert wanted_files(folder, files, None, None) == ["onnx/model.onnx"]
    assert wanted_files(folder, files, "int8+fp16", None) == ["onnx/model_quantized.onnx", "onnx/model_fp16.onnx"]
    assert wanted_files(folder, files, "q4", None) == []


def test_settings_files_name_their_graphs(tmp_path: Path) -> None:
    files = ["export.json", "decode.onnx", "decode.onnx.data", "prefill.onnx", "prefill.onnx.data", "other.onnx"]
    components = {name: {"file": f"{name}.onnx", "metadata": {}} for name in ("prefill", "decode")}
    (tmp_path / "export.json").write_text(json.dumps({"export_format": "onnx", "components": components}))
    assert wanted_files(tmp_path, files, None, None) == files[1:5]
    (tmp_path / "export.json").write_text(json.dumps({"export_format": "onnx", "components": [3]}))
    with pytest.raises(CorruptArtifactError, match=r"export.json has the components \[3\]"):
        wanted_files(tmp_path, files, None, None)
