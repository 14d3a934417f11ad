"""What an artifact's config.json tells transformers.js of files of weights beside the graphs."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_heads
import tiny_tokenizers

from headway.export import export
from headway.export import graph as graph_module
from headway.export.transformers_js import write_data_files
from headway.runtime import AutoModelForSequenceClassification, AutoTokenizer


def _data_files(settings: Any, graph: str) -> list[str]:
    """transformers.js 4.2, src/utils/model-loader.js: the files that it downloads beside a graph."""
    told = (settings or {}).get("use_external_data_format", 0)
    count = int(told.get(f"{graph}.onnx", told.get(graph, 0)) if isinstance(told, dict) else told)
    return [f"{graph}.onnx_data{f'_{index}' if index else ''}" for index in range(count)]


def _settings(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text()).get("transformers.js_config")


def test_an_export_tells_of_its_data_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tiny_tokenizers.build("BertTokenizer", model_max_length=tiny_heads.MAX_LENGTH)
    model = tiny_heads.build_model("nli", len(tokenizer), tokenizer.pad_token_id)
    # As onnx-community's config says of files that this export does not have.
    setattr(model.config, "transformers.js_config", {"use_external_data_format": {"model_q4.onnx": 2}, "dtype": "fp32"})
    monkeypatch.setattr(graph_module, "EXTERNAL_DATA_THRESHOLD_BYTES", 0)
    export(model, tmp_path / "parts", tokenizer=tokenizer, progress=False)
    assert sorted(path.name for path in (tmp_path / "parts" / "onnx").iterdir()) == ["model.onnx", "model.onnx_data"]
    settings = _settings(tmp_path / "parts")
    assert [_data_files(settings, graph) for graph in ("model", "model_q4")] == [["model.onnx_data"], []]
    assert settings["dtype"] == "fp32"
    text = AutoTokenizer.from_pretrained(tmp_path / "parts")(["a cat"], return_tensors="np")
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "parts", device="cpu")(**text).logits.size


@pytest.mark.parametrize("told", [None, {}, "nonsense", {"use_external_data_format": {"model_q4.onnx": 2}}])
def test_without_data_files_nothing_is_told(tmp_path: Path, told: Any) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").touch()
    (tmp_path / "config.json").write_text(json.dumps({"transformers.js_config": told}))
    write_data_files(tmp_path)
    assert _settings(tmp_path) is None


def test_parts_are_counted_for_each_graph(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    for name in ("model.onnx", "model.onnx_data", "model.onnx_data_1", "model_q4.onnx", "model_fp16.onnx"):
        (tmp_path / "onnx" / name).touch()
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    write_data_files(tmp_path)
    assert _settings(tmp_path) == {"use_external_data_format": {"model.onnx": 2}}
    assert _data_files(_settings(tmp_path), "model") == ["model.onnx_data", "model.onnx_data_1"]
