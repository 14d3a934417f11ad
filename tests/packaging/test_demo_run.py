"""``make demo`` end to end, with one round of timing: real checkpoints, exported here, run in the clean environment."""

import json
import sys
from pathlib import Path

import pytest

from headway.benchmarks import demo
from headway.benchmarks.demo import EXAMPLES, main


def test_the_demo(clean_python: Path, minilm_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "NUM_ROUNDS", 1)
    monkeypatch.setattr(demo, "NUM_WARM_UP", 0)
    assert main(["--runtime-python", str(clean_python), "--folder", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "results.json").read_text())
    assert [row["name"] for row in record["rows"]] == [example.name for example in EXAMPLES]
    assert max(row["largest_difference"] for row in record["rows"]) < 1e-4
    assert record["environments"]["headway_bytes"] < record["environments"]["pytorch_bytes"] / 3


def test_an_environment_with_pytorch_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runtime-python", sys.executable, "--folder", str(tmp_path)]) == 1
    assert "has torch and transformers" in capsys.readouterr().err
