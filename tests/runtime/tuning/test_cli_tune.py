"""``headway tune`` from end to end on tiny models: what it finds here is noise, what it writes is not."""

import json
from pathlib import Path

import pytest
from tiny_graphs import write_artifact

from headway.runtime import AutoModelForSequenceClassification
from headway.runtime.cli import main
from headway.runtime.tuning import optimizers, tune
from headway.runtime.tuning.fingerprint import this_machine
from headway.runtime.tuning.optimizers import effective_optimizers

QUICK = ("--rounds", "3", "--seconds", "0.01")


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("headway.runtime.tuning.timing.SAMPLE_S", 1e-4)


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_artifact(tmp_path / "tiny", dtypes=("fp32", "int8"))


def test_it_writes_what_a_load_takes(folder: Path, capsys):
    assert main(["tune", str(folder), "--shape", "1x4", "--shape", "8x12", *QUICK, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [figures["shape"] for figures in report["shapes"]] == ["1x4", "8x12"]
    assert all(figures["untuned_ms"] > 0 and figures["tuned_ms"] > 0 for figures in report["shapes"])
    assert {trial["stage"] for trial in report["tried"]} >= {"precision", "kernels", "threads", "batches"}
    assert report["cosine"] == pytest.approx(1.0)
    written = json.loads((folder / "headway.json").read_text())["tuned"][this_machine().key]
    assert written["setup"] == report["setup"]
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert model.dtype == report["setup"]["dtype"]
    assert model.session.options.arena == report["setup"]["arena"]


def test_a_table_for_people(folder: Path, capsys):
    assert main(["tune", str(folder), *QUICK, "--dtype", "fp32", "--dry-run"]) == 0
    out = capsys.readouterr().out
    # Default shapes, shortened to what the model takes.
    told = ("tried", "times as fast", "1x12", "8x12", "outside the arena", "as fast as fp32 untuned")
    for text in (*told, "nothing was kept"):
        assert text in out
    assert "int8" not in out
    assert not json.loads((folder / "headway.json").read_text())["tuned"]


def test_text_of_the_users_own(folder: Path, tmp_path, capsys, monkeypatch):
    lines = tmp_path / "lines.txt"
    lines.write_text("the film was good\nthe film was bad\n")
    seen = []
    original = tune.make_workload
    monkeypatch.setattr(tune, "make_workload", lambda *given: seen.append(given[3]) or original(*given))
    assert main(["tune", str(folder), "--shape", "1x4", "--text", str(lines), *QUICK, "--dry-run"]) == 0
    assert seen == [lines.read_text()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shape", "big"], "'big' is no shape"),
        (["--shape", "1x99"], "--shape 1x99 is too long: the model takes 12 tokens"),
        (["--dtype", "q4"], "has no variant 'q4'; it has fp32, int8"),
        (["--min-cosine", "2"], "min_cosine is 2.0; it must be a number from -1 to 1"),
        (["--rounds", "1"], "--rounds is 1"),
        (["--new-tokens", "0"], "--new-tokens is 0"),
        (["--task", "cooking"], "pass --task"),
        (["--text", "missing.txt"], "No such file"),
    ],
    ids=str,
)
def test_what_cannot_be_tuned(folder: Path, capsys, options, message):
    assert main(["tune", str(folder), *QUICK, *options]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_precision_beyond_the_users_limit_is_not_tried(folder: Path, capsys):
    manifest = json.loads((folder / "headway.json").read_text())
    manifest["variants"]["int8"]["verification"] = {"reference": "fp32", "cases": [{"name": "texts", "cosine": 0.95}]}
    (folder / "headway.json").write_text(json.dumps(manifest))
    assert main(["tune", str(folder), "--shape", "1x4", "--min-cosine", "0.99", *QUICK]) == 0
    assert "not tried: int8 (int8: cosine 0.9500, at least 0.99 asked for)" in capsys.readouterr().out
    assert main(["tune", str(folder), "--dtype", "int8", "--min-cosine", "0.99", *QUICK]) == 1
    assert "No precision is within the limits" in capsys.readouterr().err


def test_only_optimizers_that_change_the_graph_are_tried(minilm_artifact: Path, monkeypatch):
    monkeypatch.setattr(optimizers, "OPTIMIZERS", ("BiasGeluFusion", "NchwcTransformer"))
    graph = minilm_artifact / "onnx" / "model.onnx"
    assert list(effective_optimizers([graph])) == ["BiasGeluFusion"]
    monkeypatch.setattr(optimizers, "_MOST_MODEL_BYTES", 0)
    assert list(effective_optimizers([graph])) == []


def test_inspect_shows_it(folder: Path, capsys):
    assert main(["tune", str(folder), "--shape", "1x4", *QUICK]) == 0
    capsys.readouterr()
    assert main(["inspect", str(folder)]) == 0
    assert "tuned for" in capsys.readouterr().out
    assert main(["inspect", str(folder), "--json"]) == 0
    assert this_machine().key in json.loads(capsys.readouterr().out)["tuned"]
