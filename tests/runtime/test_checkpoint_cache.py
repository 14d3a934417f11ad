"""``export=True``: exported once, found again, exported anew when the checkpoint has changed."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny_graphs import write_artifact, write_config

import headway.export
from headway.benchmarks.tiny_checkpoints import tiny_checkpoint
from headway.runtime import AutoModelForSequenceClassification
from headway.runtime.checkpoint_cache import export_once
from headway.runtime.errors import ExportError, MissingExtraError, NotExportedError
from headway.runtime.model_loading import HubOptions, open_artifact


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    write_config(folder, "BertForSequenceClassification")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Calls of an exporter that writes a tiny artifact."""
    calls: list[dict[str, Any]] = []

    def export(source: str, output: Path, **options: Any) -> None:
        calls.append({"source": source, **options})
        write_artifact(output, dtypes=(options["dtype"],))

    monkeypatch.setattr(headway.export, "export", export, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return calls


def test_exported_once(checkpoint: Path, exports: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(NotExportedError):
        AutoModelForSequenceClassification.from_pretrained(checkpoint)
    for _ in range(2):
        model = AutoModelForSequenceClassification.from_pretrained(checkpoint, export=True)
        assert model.artifact.folder.parent == tmp_path / "cache" / "headway" / "exports"
    assert exports == [
        {"source": str(checkpoint), "task": "text-classification", "dtype": "fp32", "overwrite": True},
    ]


def test_exported_again_when_something_differs(checkpoint: Path, exports: list[dict[str, Any]]) -> None:
    first = export_once(checkpoint, "text-classification")
    assert export_once(checkpoint, None) != first
    assert export_once(checkpoint, "text-classification", dtype="fp32") == first
    assert export_once(checkpoint, "text-classification", dtype="int8") != first
    status = (checkpoint / "model.safetensors").stat()
    os.utime(checkpoint / "model.safetensors", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert export_once(checkpoint, "text-classification") != first
    assert len(exports) == 4


def test_cache_folder(checkpoint: Path, exports: list[dict[str, Any]], tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, export=True, cache_dir=tmp_path / "mine")
    assert model.artifact.folder.parent == tmp_path / "mine" / "headway"


def test_export_that_failed_is_tried_again(
    checkpoint: Path, exports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    working = headway.export.export

    def fail(*arguments: Any, **options: Any) -> None:
        raise ExportError("no")

    monkeypatch.setattr(headway.export, "export", fail)
    with pytest.raises(ExportError, match="no"):
        AutoModelForSequenceClassification.from_pretrained(checkpoint, export=True)
    monkeypatch.setattr(headway.export, "export", working)
    AutoModelForSequenceClassification.from_pretrained(checkpoint, export=True)
    assert len(exports) == 1


def test_real_exporter(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "tiny", "bert", "AutoModelForSequenceClassification")
    original = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    with torch.no_grad():
        expected = original(input_ids=ids).logits.numpy()
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, export=True, cache_dir=tmp_path / "cache")
    np.testing.assert_allclose(model(ids.numpy()).logits, expected, atol=1e-4)
    assert model.config.id2label == original.config.id2label


def test_no_exporter(checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "headway.export", None)
    with pytest.raises(MissingExtraError, match=r"export=True needs the exporter .* Install headway\[export\]"):
        AutoModelForSequenceClassification.from_pretrained(checkpoint, export=True, cache_dir=tmp_path)


def test_checkpoint_on_the_hub(tmp_path: Path, exports: list[dict[str, Any]]) -> None:
    commit = "a" * 40
    storage = tmp_path / "hub" / "models--org--torch"
    snapshot = storage / "snapshots" / commit
    snapshot.mkdir(parents=True)
    write_config(snapshot, "BertForSequenceClassification")
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text(commit)
    hub = HubOptions(cache_dir=tmp_path / "hub", token="hf_x")
    with pytest.raises(NotExportedError, match="headway export org/torch OUT"):
        open_artifact("org/torch", hub)
    artifact = open_artifact("org/torch", hub, task="text-classification", export=True)
    assert artifact.task == "text-classification"
    assert exports == [
        {
            "source": "org/torch",
            "task": "text-classification",
            "dtype": "fp32",
            "overwrite": True,
            "subfolder": None,
            "cache_dir": tmp_path / "hub",
            "token": "hf_x",
            "revision": commit,
        }
    ]
