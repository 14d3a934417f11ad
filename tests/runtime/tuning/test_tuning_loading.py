"""Loading takes what tuning found, and the caller's own choice before it."""

from pathlib import Path

import numpy as np
import pytest
from tiny_graphs import write_artifact

from headway.runtime import AutoModelForSequenceClassification, pipeline
from headway.runtime.artifact import Artifact
from headway.runtime.batch_runs import RunPlan
from headway.runtime.providers import CPU_PROVIDER, CUDA_PROVIDER
from headway.runtime.tuning import loading
from headway.runtime.tuning.fingerprint import this_machine
from headway.runtime.tuning.setup import SPINNING, Setup, TuningRecord
from headway.runtime.tuning.store import keep_record

SETUP = Setup("int8", num_threads=1, config={SPINNING: "0"}, arena=False, runs=(RunPlan(0, 4),))


@pytest.fixture
def tuned(tmp_path, monkeypatch) -> Path:
    """A classifier in two precisions with a record for this machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = write_artifact(tmp_path / "tuned", dtypes=("fp32", "int8"))
    keep_record(Artifact(folder), this_machine(), TuningRecord("here", SETUP))
    return folder


def load(folder, **options):
    return AutoModelForSequenceClassification.from_pretrained(folder, **options)


def test_a_load_takes_the_record(tuned: Path):
    model = load(tuned)
    options = model.session.options
    assert (model.dtype, options.num_threads, options.arena, options.runs) == ("int8", 1, False, SETUP.runs)
    assert options.config == {SPINNING: "0"}
    ids = np.array([[2, 5, 6, 3], [2, 7, 8, 3], [2, 9, 10, 3]])
    np.testing.assert_array_equal(model(ids).logits, load(tuned, tuned=False)(ids).logits)


def test_a_pipeline_takes_the_record(tuned: Path):
    assert pipeline("text-classification", tuned).model.dtype == "int8"
    assert pipeline("text-classification", tuned, tuned=False).model.dtype == "fp32"


@pytest.mark.parametrize(
    "options",
    [{"tuned": False}, {"dtype": "fp32"}, {"file_name": "model.onnx"}, {"providers": [CPU_PROVIDER]}],
    ids=str,
)
def test_what_the_caller_chose_wins(tuned: Path, options):
    model = load(tuned, **options)
    assert model.session.path.name == "model.onnx"
    assert model.session.options.arena
    assert not model.session.options.runs


@pytest.mark.parametrize("options", [{"dtype": "int8"}, {"dtype": "quantized"}, {"dtype": "auto"}, {"device": "cpu"}])
def test_a_choice_that_agrees_takes_the_rest(tuned: Path, options):
    assert not load(tuned, **options).session.options.arena


def test_the_callers_threads_take_the_place_of_the_records(tuned: Path):
    options = load(tuned, num_threads=2).session.options
    assert (options.num_threads, options.runs, options.arena) == (2, (), False)


@pytest.mark.parametrize(("asked", "switch", "expected"), [(None, "", False), (None, "1", True), (True, "", True)])
def test_weights_lie_in_memory_as_measured_unless_the_cache_is_asked_for(
    tuned: Path, monkeypatch, asked, switch, expected
):
    monkeypatch.setenv("HEADWAY_SESSION_CACHE", switch)
    assert load(tuned, session_cache=asked).session.options.cache is expected
    assert load(tuned, session_cache=asked, tuned=False).session.options.cache is asked


def test_another_machine_loads_as_ever(tuned: Path, monkeypatch):
    monkeypatch.setattr(loading, "this_machine", lambda: this_machine(Path("/nowhere")))
    assert load(tuned).dtype == "fp32"


def test_a_graphics_card_is_not_left_idle(tuned: Path, monkeypatch):
    monkeypatch.setattr(loading, "auto_device", lambda available: ("cuda", "a driver is there"))
    assert load(tuned).dtype == "fp32"
    assert load(tuned, device="cpu").dtype == "int8"
    assert CUDA_PROVIDER not in load(tuned).session.ort_session.get_providers()


def test_a_precision_whose_files_were_not_fetched_is_left_aside(tuned: Path):
    (tuned / "onnx" / "model_quantized.onnx").unlink()
    assert load(tuned).dtype == "fp32"
