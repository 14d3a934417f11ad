"""Records: where they lie, what is read back, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from headway.runtime.artifact import Artifact
from headway.runtime.batch_runs import RunPlan
from headway.runtime.tuning import store
from headway.runtime.tuning.fingerprint import Fingerprint, this_machine
from headway.runtime.tuning.setup import DISABLED_OPTIMIZERS, Setup, ShapeFigures, TuningRecord
from headway.runtime.tuning.store import find_record, has_records, keep_record
from headway.runtime.typed_json import JsonTypeError

MACHINE = Fingerprint("a CPU", ("avx2",), 4, "1.31.1")
SETUP = Setup("int8", num_threads=2, config={DISABLED_OPTIMIZERS: "A;B"}, arena=False, runs=(RunPlan(9, 512, 2),))
RECORD = TuningRecord(MACHINE.to_text(), SETUP, (ShapeFigures("1x16", 4.0, 2.0),), 0.99, 2.0, "2026-01-01")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "headway" / "tuning"


def make_read_only(monkeypatch):
    """As a folder that belongs to somebody else; tests may run as root, who may write everywhere."""

    def refuse(artifact, machine, record):
        raise PermissionError("read-only")

    monkeypatch.setattr(store, "_write_into_manifest", refuse)


def test_a_record_goes_into_the_manifest_and_comes_back(damaged: Path, cache):
    before = json.loads((damaged / "headway.json").read_text())
    assert not has_records(Artifact(damaged))
    assert keep_record(Artifact(damaged), MACHINE, RECORD) == damaged / "headway.json"
    artifact = Artifact(damaged)
    assert has_records(artifact)
    assert find_record(artifact, MACHINE) == RECORD
    assert find_record(artifact, replace(MACHINE, usable_cpus=2)) is None
    after = json.loads((damaged / "headway.json").read_text())
    assert after.pop("tuned").keys() == {MACHINE.key}
    assert after == {key: value for key, value in before.items() if key != "tuned"}
    assert sorted(path.name for path in damaged.iterdir()) == sorted(
        ["headway.json", "config.json", "onnx", "tokenizer.json", "tokenizer_config.json"]
    )
    assert not cache.exists()


def test_each_machine_has_its_own(damaged: Path):
    other = replace(MACHINE, cpu="another")
    keep_record(Artifact(damaged), MACHINE, RECORD)
    keep_record(Artifact(damaged), other, replace(RECORD, gain=9.0))
    keep_record(Artifact(damaged), other, replace(RECORD, gain=3.0))
    found = [find_record(Artifact(damaged), machine) for machine in (MACHINE, other)]
    assert [record.gain for record in found if record] == [2.0, 3.0]
    keep_record(Artifact(damaged), MACHINE, None)
    assert find_record(Artifact(damaged), MACHINE) is None
    assert has_records(Artifact(damaged))


def test_a_read_only_folder_has_its_record_in_the_users_cache(damaged: Path, cache, monkeypatch):
    make_read_only(monkeypatch)
    path = keep_record(Artifact(damaged), MACHINE, RECORD)
    assert path.parent == cache
    assert find_record(Artifact(damaged), MACHINE) == RECORD
    keep_record(Artifact(damaged), MACHINE, None)
    assert not path.exists()


def test_the_users_record_comes_first_until_the_folder_takes_it(damaged: Path, cache, monkeypatch):
    keep_record(Artifact(damaged), MACHINE, RECORD)
    with monkeypatch.context() as context:
        make_read_only(context)
        keep_record(Artifact(damaged), MACHINE, replace(RECORD, gain=5.0))
    assert find_record(Artifact(damaged), MACHINE).gain == 5.0
    keep_record(Artifact(damaged), MACHINE, replace(RECORD, gain=7.0))
    assert find_record(Artifact(damaged), MACHINE).gain == 7.0
    assert list(cache.iterdir()) == []


def test_without_a_manifest_the_record_belongs_to_the_files(damaged: Path):
    (damaged / "headway.json").unlink()
    keep_record(Artifact(damaged), MACHINE, RECORD)
    assert find_record(Artifact(damaged), MACHINE) == RECORD
    graph = damaged / "onnx" / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"\0")
    assert find_record(Artifact(damaged), MACHINE) is None


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"session.optimized_model_filepath": "/tmp/x"}},
        {"config": {DISABLED_OPTIMIZERS: "A B"}},
        {"config": {"session.intra_op.allow_spinning": 0}},
        {"num_threads": 0},
        {"num_threads": 10**9},
        {"runs": [{"num_streams": 0}]},
        {"runs": [{"run_tokens": -1}]},
        {"device": "cuda"},
        {"precision": "fp8"},
        {"dtype": None},
    ],
    ids=str,
)
def test_a_record_with_anything_else_in_it_is_left_aside(damaged: Path, caplog, change):
    data = RECORD.to_dict()
    data["setup"] = {**data["setup"], **change}
    with pytest.raises(JsonTypeError):
        TuningRecord.from_dict(data)
    manifest = json.loads((damaged / "headway.json").read_text())
    (damaged / "headway.json").write_text(json.dumps({**manifest, "tuned": {MACHINE.key: data}}))
    assert find_record(Artifact(damaged), MACHINE) is None
    assert "has a tuning record that cannot be used" in caplog.text


def test_a_broken_cache_is_no_record(damaged: Path, cache, monkeypatch):
    make_read_only(monkeypatch)
    path = keep_record(Artifact(damaged), MACHINE, RECORD)
    path.write_text("{")
    assert find_record(Artifact(damaged), MACHINE) is None


def test_the_fingerprint_of_a_linux_machine(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        "processor\t: 0\nmodel name\t: Some CPU @ 2\nflags\t\t: fpu avx2 fma amx_int8 nx\n\n"
        "processor\t: 1\nmodel name\t: Other\nflags\t\t: avx512f\n"
    )
    machine = this_machine(cpuinfo)
    assert (machine.cpu, machine.flags) == ("Some CPU @ 2", ("amx_int8", "avx2", "fma"))
    assert machine.key == this_machine(cpuinfo).key
    arm = tmp_path / "cpuinfo of arm"
    arm.write_text("processor\t: 0\nFeatures\t: fp asimd sve\nCPU part\t: 0xd40\n")
    assert (this_machine(arm).cpu, this_machine(arm).flags) == ("0xd40", ("asimd", "sve"))
    assert this_machine(arm).key != machine.key
    assert this_machine(tmp_path / "missing").cpu


@pytest.mark.parametrize(
    "change", [{"cpu": "b"}, {"flags": ()}, {"usable_cpus": 3}, {"onnxruntime": "1.31.1 openvino"}], ids=str
)
def test_what_the_fingerprint_depends_on(change):
    assert replace(MACHINE, **change).key != MACHINE.key
