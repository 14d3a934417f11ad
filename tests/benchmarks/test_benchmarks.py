"""The benchmark runner, and the pieces that measure."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from headway.benchmarks import __main__ as runner
from headway.benchmarks.environment import describe_environment, folder_bytes, installed_bytes
from headway.benchmarks.sentences import real_sentences

RECORD = {
    "title": "Nothing",
    "settings": "No threads.",
    "machine": {"processor": "A CPU", "cpus": 2, "python": "3.11.7", "packages": {}},
    "rows": [{"": "Headway", "ms": 1.5}],
}


def test_a_benchmark_is_recorded_and_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "WORKLOADS", {})
    monkeypatch.setattr(runner, "BENCHMARKS", {"nothing": "nowhere"})
    monkeypatch.setattr(importlib, "import_module", lambda name: SimpleNamespace(run=lambda: RECORD))
    assert runner.main(["--folder", str(tmp_path / "results")]) == 0
    assert json.loads((tmp_path / "results" / "nothing.json").read_text()) == RECORD
    assert "| Headway | 1.5 |" in capsys.readouterr().out


def test_unknown_benchmarks_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        runner.main(["speed"])
    assert "choose from classifier, embeddings, decoding" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted({**runner.WORKLOADS, **runner.BENCHMARKS}))
def test_every_benchmark_can_be_run(name: str) -> None:
    assert callable(importlib.import_module({**runner.WORKLOADS, **runner.BENCHMARKS}[name]).run)


def test_sentences_are_real_and_of_mixed_length() -> None:
    sentences = real_sentences(2000)
    lengths = sorted(len(sentence.split()) for sentence in sentences)
    assert len(set(sentences)) == 2000
    assert lengths[200] < 10
    assert lengths[1800] > 25


def test_folder_bytes_counts_a_file_with_two_names_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 100_000)
    alone = folder_bytes(tmp_path)
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    assert folder_bytes(tmp_path) == alone >= 100_000


def test_installed_bytes_follows_requirements() -> None:
    assert installed_bytes("tokenizers", "huggingface_hub") == installed_bytes("tokenizers")
    assert installed_bytes("tokenizers") > installed_bytes("filelock") > 10_000


def test_the_environment_names_versions() -> None:
    facts = describe_environment()
    assert facts["packages"]["transformers"].startswith("5.")
    assert facts["cpus"] >= 1
