"""The checks for GPUs, run on the CPU with tiny models: what they measure here means nothing, that they run does."""

import json
from pathlib import Path

import numpy as np
import pytest

from headway.benchmarks.gpu import __main__ as gpu
from headway.benchmarks.gpu.checks import (
    bytes_moved,
    cache_stays,
    missing_library,
    node_providers,
    parity,
    placement,
    soak,
)
from headway.benchmarks.gpu.latency import decoder_rows, encoder_rows, medians_ms
from headway.benchmarks.gpu.setting import Setting, Sizes
from headway.runtime.errors import ProviderError
from headway.runtime.providers import CPU_PROVIDER, CUDA_PROVIDER, import_onnxruntime

TINY = Sizes(
    encoders={"tiny": (32, 2, 4)},
    decoder=(32, 2, 4, 2),
    large_decoder=(32, 2, 4, 2),
    batches=(1, 2),
    length=16,
    new_tokens=5,
    soak_calls=5,
)


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return Setting(tmp_path_factory.mktemp("gpu"), device="cpu", sizes=TINY, dtypes=("fp32",))


def test_it_refuses_where_there_is_no_gpu(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if CUDA_PROVIDER in import_onnxruntime().get_available_providers():
        pytest.skip("this onnxruntime has a CUDA provider")
    assert gpu.main(["--folder", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "This needs an NVIDIA GPU and headway[gpu]; the installed onnxruntime has only" in error
    assert not list(tmp_path.iterdir())


def test_a_gpu_that_pytorch_does_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_onnxruntime(), "get_available_providers", lambda: [CUDA_PROVIDER])
    with pytest.raises(ProviderError, match=r"needs a GPU that PyTorch sees.*nvidia-smi"):
        gpu.require_gpu()


def test_a_check_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        gpu.main(["flying"])
    assert exit_info.value.code == 2
    assert "no check is named 'flying'; choose from placement, parity" in capsys.readouterr().err


def test_placement(setting: Setting) -> None:
    outcome = placement(setting)
    assert outcome.passed
    assert outcome.figures["nodes"] > 10
    assert outcome.figures["elsewhere"] == outcome.figures["copies"] == 0


def test_nodes_on_another_provider_are_counted(setting: Setting) -> None:
    _, folder = setting.encoder("tiny")
    ids = setting.ids(1)
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    nodes = node_providers(folder / "onnx" / "model.onnx", [CPU_PROVIDER], feeds)
    assert {provider for provider, _ in nodes} == {CPU_PROVIDER}
    assert any("MatMul" in operator for _, operator in nodes)


def test_parity(setting: Setting) -> None:
    outcome = parity(setting)
    assert outcome.passed, outcome.figures
    assert set(outcome.figures) == {"fp32, batch 1", "fp32, batch 8"}


def test_the_cache(setting: Setting) -> None:
    assert cache_stays(setting).passed


def test_bytes_are_counted_and_the_counting_ends() -> None:
    ort_value = import_onnxruntime().OrtValue
    array = np.zeros(10, np.float32)
    with bytes_moved() as counted:
        value = ort_value.ortvalue_from_numpy(array)
        value.numpy()
        value.update_inplace(array)
    assert dict(counted) == {"made": 40, "read": 40, "refilled": 40}
    ort_value.ortvalue_from_numpy(array)
    assert counted["made"] == 40


def test_memory(setting: Setting) -> None:
    assert soak(setting).figures["calls"] == 5


def test_a_library_that_is_not_missing_is_not_named(setting: Setting) -> None:
    outcome = missing_library(setting)
    assert not outcome.passed
    assert outcome.figures["said"] == "loaded"


def test_times(setting: Setting) -> None:
    rows = [*encoder_rows(setting), *decoder_rows(setting)]
    assert [row["workload"] for row in rows] == [
        "tiny 1x16",
        "tiny 2x16",
        "decoder step, batch 1",
        "decoder step, batch 2",
    ]
    assert all(row["PyTorch, ms"] > 0 and row["Headway, ms"] > 0 for row in rows)


def test_what_cannot_run_has_no_time() -> None:
    def fail() -> None:
        raise RuntimeError("no compiler")

    found = medians_ms({"torch.compile, ms": fail, "Headway, ms": lambda: None}, "cpu", rounds=2)
    assert found["torch.compile, ms"] is None
    assert found["Headway, ms"] is not None
    with pytest.raises(RuntimeError, match="no compiler"):
        medians_ms({"Headway, ms": fail}, "cpu", rounds=2)


def test_the_record_is_one_that_the_readme_takes(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(setting: Setting) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(gpu, "CHECKS", {"memory": soak, "library": fail})
    record = gpu.run_all(setting, ["memory", "library", "encoders"], "A GPU")
    assert [check["passed"] for check in record["checks"]] == [True, False]
    assert record["checks"][1]["figures"]["error"] == "RuntimeError: broken"
    assert "A GPU: milliseconds of a call" in gpu.table(json.loads(json.dumps(record)))
