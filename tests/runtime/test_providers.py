"""Devices to execution providers, with a stand-in for builds of ONNX Runtime that are not installed here."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headway.runtime import AutoModelForSequenceClassification, load_model, pipeline, providers
from headway.runtime.cpu_info import has_bfloat16
from headway.runtime.errors import MissingExtraError, OptionError, ProviderError
from headway.runtime.providers import (
    CPU_PROVIDER,
    CUDA_PROVIDER,
    OPENVINO_PROVIDER,
    ProviderSettings,
    import_onnxruntime,
    missing_library,
    require_provider,
    resolve_providers,
)


class FakeOnnxRuntime:
    """An onnxruntime whose session runs on other providers than asked for, or raises.

    Args:
        available: what the build has.
        active: what a session says it runs on; None says all that was asked for.
        failure: what opening a session on anything but the CPU raises.
    """

    def __init__(self, available: list[str], active: list[str] | None = None, failure: Exception | None = None) -> None:
        self.__version__ = "1.0"
        self.available, self.active, self.failure = available, active, failure
        self.preloaded = 0
        self.opened: list[tuple[list[Any], dict[str, Any]]] = []

    def get_available_providers(self) -> list[str]:
        return self.available

    def preload_dlls(self) -> None:
        self.preloaded += 1

    def SessionOptions(self) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(add_session_config_entry=lambda name, value: None)

    def InferenceSession(self, path: str, options: Any, providers: list[Any], **rest: Any) -> SimpleNamespace:  # noqa: N802
        self.opened.append((providers, rest))
        names = [provider if isinstance(provider, str) else provider[0] for provider in providers]
        if self.failure and names[0] != CPU_PROVIDER:
            raise self.failure
        tensor = SimpleNamespace(shape=["batch_size", "sequence_length"], type="tensor(int64)")
        inputs = [SimpleNamespace(name=name, **vars(tensor)) for name in ("input_ids", "attention_mask")]
        logits = SimpleNamespace(name="logits", shape=["batch_size", 2], type="tensor(float)")
        return SimpleNamespace(
            get_providers=lambda: self.active or names, get_inputs=lambda: inputs, get_outputs=lambda: [logits]
        )


@pytest.fixture
def cuda_build(monkeypatch: pytest.MonkeyPatch) -> FakeOnnxRuntime:
    """onnxruntime-gpu on a machine with a driver."""
    fake = FakeOnnxRuntime([CUDA_PROVIDER, CPU_PROVIDER])
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    monkeypatch.setattr(providers, "_nvidia_driver_present", lambda: True)
    return fake


@pytest.fixture
def openvino_build(cpu_build: FakeOnnxRuntime) -> FakeOnnxRuntime:
    """onnxruntime-openvino."""
    cpu_build.available = [OPENVINO_PROVIDER, CPU_PROVIDER]
    return cpu_build


def pipeline_of(folder: Path, **options: Any) -> Any:
    return pipeline("text-classification", folder, **options).model


@pytest.fixture
def cpu_build(monkeypatch: pytest.MonkeyPatch) -> FakeOnnxRuntime:
    fake = FakeOnnxRuntime([CPU_PROVIDER])
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    return fake


def test_cpu(cuda_build: FakeOnnxRuntime) -> None:
    assert resolve_providers("cpu") == [CPU_PROVIDER]
    assert resolve_providers(-1) == [CPU_PROVIDER]
    assert cuda_build.preloaded == 0


@pytest.mark.parametrize(("device", "index"), [("cuda", "0"), ("cuda:0", "0"), ("cuda:3", "3"), (0, "0"), (2, "2")])
def test_cuda(cuda_build: FakeOnnxRuntime, device: str | int, index: str) -> None:
    (name, options), fallback = resolve_providers(device)
    assert (name, options["device_id"], fallback) == (CUDA_PROVIDER, index, CPU_PROVIDER)
    assert cuda_build.preloaded == 1


def test_cuda_without_a_cuda_build(cpu_build: FakeOnnxRuntime) -> None:
    with pytest.raises(ProviderError, match=r"has only CPUExecutionProvider. Install headway\[gpu\]"):
        resolve_providers("cuda")


def test_cuda_with_the_onnxruntime_that_is_installed(classifier: Path) -> None:
    if CUDA_PROVIDER in import_onnxruntime().get_available_providers():
        pytest.skip("this onnxruntime has a CUDA provider")
    with pytest.raises(ProviderError, match=r"device='cuda' was asked for.*Install headway\[gpu\]"):
        AutoModelForSequenceClassification.from_pretrained(classifier, device="cuda")


def test_cuda_whose_libraries_do_not_load(cuda_build: FakeOnnxRuntime, classifier: Path) -> None:
    cuda_build.active = [CPU_PROVIDER]
    with pytest.raises(ProviderError, match="could not be loaded; ONNX Runtime would have run on CPUExecutionProvider"):
        AutoModelForSequenceClassification.from_pretrained(classifier, device="cuda")


def test_cuda_that_fails_to_start(cuda_build: FakeOnnxRuntime, classifier: Path) -> None:
    cuda_build.failure = RuntimeError("CUDA failure 101: invalid device ordinal ; GPU=7\nmore")
    with pytest.raises(ProviderError, match=r"could not be started: CUDA failure 101.* loads with device='cpu'"):
        AutoModelForSequenceClassification.from_pretrained(classifier, device="cuda:7")


def test_no_fall_back_inside_onnxruntime(cuda_build: FakeOnnxRuntime, classifier: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(classifier, device="cuda")
    assert model.device == "cuda"
    asked, rest = cuda_build.opened[0]
    assert asked[0][0] == CUDA_PROVIDER
    assert rest == {"enable_fallback": 0}


@pytest.mark.parametrize(
    "device",
    ["gpu", "CUDA", "", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:²", "auto:1", None, 1.5, True, -2, ["cpu"]],
)
def test_devices_that_are_none(cuda_build: FakeOnnxRuntime, device: Any) -> None:
    with pytest.raises(OptionError, match=r"Unknown device .*; allowed are auto, cpu, cuda"):
        resolve_providers(device)


def test_openvino(monkeypatch: pytest.MonkeyPatch, cpu_build: FakeOnnxRuntime) -> None:
    with pytest.raises(ProviderError, match=r"Install headway\[openvino\]"):
        resolve_providers("openvino")
    cpu_build.available = [OPENVINO_PROVIDER, CPU_PROVIDER]
    (name, options), fallback = resolve_providers("openvino")
    assert (name, options["device_type"], fallback) == (OPENVINO_PROVIDER, "CPU", CPU_PROVIDER)
    # Never OpenVINO's own default, which is bfloat16 on some CPUs.
    assert json.loads(options["load_config"]) == {"CPU": {"INFERENCE_PRECISION_HINT": "f32"}}


def openvino_config(**settings: Any) -> Any:
    (_, options), _ = resolve_providers("openvino", settings=ProviderSettings(**settings))
    return json.loads(options["load_config"])["CPU"]


def test_openvino_is_told_threads_and_precision(
    monkeypatch: pytest.MonkeyPatch, openvino_build: FakeOnnxRuntime
) -> None:
    monkeypatch.setattr(providers, "has_bfloat16", lambda: True)
    assert openvino_config(num_threads=3)["INFERENCE_NUM_THREADS"] == "3"
    assert openvino_config(precision="bf16")["INFERENCE_PRECISION_HINT"] == "bf16"


@pytest.mark.parametrize(("has_it", "refused"), [(False, True), (True, False), (None, False)])
def test_bfloat16_needs_a_cpu_that_has_it(
    monkeypatch: pytest.MonkeyPatch, openvino_build: FakeOnnxRuntime, has_it: bool | None, refused: bool
) -> None:
    monkeypatch.setattr(providers, "has_bfloat16", lambda: has_it)
    if refused:
        with pytest.raises(ProviderError, match="this CPU has no bfloat16 instructions"):
            openvino_config(precision="bf16")
    else:
        assert openvino_config(precision="bf16")["INFERENCE_PRECISION_HINT"] == "bf16"


@pytest.mark.parametrize("dtype", ["bf16", "bfloat16", "torch.bfloat16"])
@pytest.mark.parametrize("load", [AutoModelForSequenceClassification.from_pretrained, load_model, pipeline_of])
def test_bfloat16_is_float32_computed_by_openvino(
    monkeypatch: pytest.MonkeyPatch, openvino_build: FakeOnnxRuntime, classifier: Path, load: Any, dtype: str
) -> None:
    monkeypatch.setattr(providers, "has_bfloat16", lambda: True)
    model = load(classifier, dtype=dtype, device="openvino")
    assert (model.dtype, model.device) == ("fp32", "openvino")
    (_, options), _ = openvino_build.opened[0][0]
    assert json.loads(options["load_config"])["CPU"]["INFERENCE_PRECISION_HINT"] == "bf16"


@pytest.mark.parametrize("device", ["cpu", "auto", "cuda"])
def test_bfloat16_elsewhere_says_where_it_is(cuda_build: FakeOnnxRuntime, classifier: Path, device: str) -> None:
    with pytest.raises(OptionError, match=r"bf16 is what device='openvino' computes in; this is device='\w+'"):
        AutoModelForSequenceClassification.from_pretrained(classifier, dtype="bf16", device=device)


def test_settings_of_cuda(cuda_build: FakeOnnxRuntime, classifier: Path) -> None:
    AutoModelForSequenceClassification.from_pretrained(
        classifier, device="cuda", memory_limit_bytes=1 << 30, cuda_graph=True
    )
    (_, options), _ = cuda_build.opened[0][0]
    assert (options["gpu_mem_limit"], options["enable_cuda_graph"]) == (str(1 << 30), "1")
    (_, plain), _ = resolve_providers("cuda")
    assert "gpu_mem_limit" not in plain
    assert "enable_cuda_graph" not in plain


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cuda_graph": True}, "cuda_graph belongs to device='cuda'; this is device='cpu'"),
        ({"memory_limit_bytes": 5}, "memory_limit_bytes belongs to device='cuda'"),
        ({"memory_limit_bytes": 0}, "memory_limit_bytes is 0; a whole number of bytes is needed"),
        ({"memory_limit_bytes": 1.5}, "memory_limit_bytes is 1.5"),
        ({"memory_limit_bytes": True}, "memory_limit_bytes is True"),
    ],
    ids=str,
)
def test_settings_that_cannot_be(cpu_build: FakeOnnxRuntime, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        resolve_providers("cpu", settings=ProviderSettings(**settings))


def test_the_library_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda_build: FakeOnnxRuntime, classifier: Path
) -> None:
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi" / "libonnxruntime_providers_cuda.so").write_bytes(b"")
    cuda_build.__file__ = str(tmp_path / "__init__.py")

    def loader(path: str) -> None:
        raise OSError("libcudnn.so.9: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(providers.ctypes, "CDLL", loader)
    cuda_build.active = [CPU_PROVIDER]
    with pytest.raises(ProviderError, match=r"libcudnn.so.9: cannot open shared object file.*It needs CUDA 13"):
        AutoModelForSequenceClassification.from_pretrained(classifier, device="cuda")


def test_a_library_that_loads_is_not_missing() -> None:
    assert missing_library("NoSuchExecutionProvider") is None


def test_bfloat16_by_the_flags_of_the_cpu(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    for flags, expected in (("avx2 avx512_bf16", True), ("avx2 fma", False)):
        cpuinfo = tmp_path / f"cpuinfo {flags}"
        cpuinfo.write_text(f"processor\t: 0\nflags\t: {flags}\n")
        assert has_bfloat16(cpuinfo) is expected
    assert has_bfloat16(tmp_path / "missing") is None


def test_auto_logs_one_line(cuda_build: FakeOnnxRuntime, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="headway")
    assert resolve_providers("auto")[0][0] == CUDA_PROVIDER
    assert [record.message.split(":")[0] for record in caplog.records] == ["device='auto' chose cuda"]


@pytest.mark.parametrize(("has_cuda", "reason"), [(True, "no NVIDIA driver"), (False, "no CUDA provider")])
def test_auto_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, has_cuda: bool, reason: str
) -> None:
    available = [CUDA_PROVIDER, CPU_PROVIDER] if has_cuda else [CPU_PROVIDER]
    monkeypatch.setitem(sys.modules, "onnxruntime", FakeOnnxRuntime(available))
    monkeypatch.setattr(providers, "_nvidia_driver_present", lambda: not has_cuda)
    caplog.set_level(logging.INFO, logger="headway")
    assert resolve_providers("auto") == [CPU_PROVIDER]
    assert len(caplog.records) == 1
    assert reason in caplog.text


def test_explicit_providers(cuda_build: FakeOnnxRuntime) -> None:
    asked = [(CUDA_PROVIDER, {"device_id": "1"}), CPU_PROVIDER]
    assert resolve_providers("nonsense", asked) == asked
    assert cuda_build.preloaded == 1


def test_explicit_providers_that_are_missing(cpu_build: FakeOnnxRuntime) -> None:
    with pytest.raises(ProviderError, match="Providers TensorrtExecutionProvider are not in the installed"):
        resolve_providers("cpu", ["TensorrtExecutionProvider", CPU_PROVIDER])


@pytest.mark.parametrize("asked", [[], "CPUExecutionProvider", [None], [(CPU_PROVIDER,)], [(CPU_PROVIDER, [])], [{}]])
def test_explicit_providers_that_are_none(cpu_build: FakeOnnxRuntime, asked: Any) -> None:
    with pytest.raises(OptionError, match=r"a list of names or \(name, options\) pairs is needed"):
        resolve_providers("cpu", asked)


def test_only_the_first_provider_must_be_there() -> None:
    require_provider([CPU_PROVIDER], [CPU_PROVIDER])
    with pytest.raises(ProviderError):
        require_provider([(CUDA_PROVIDER, {}), CPU_PROVIDER], [CPU_PROVIDER])


def test_no_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"Install one of the extras: headway\[cpu\]"):
        import_onnxruntime()
    with pytest.raises(ImportError):
        import_onnxruntime()


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0")])
@pytest.mark.parametrize("name", ["ORT_DISABLE_TELEMETRY", "ORT_GQA_DISABLE_FLASH_ATTENTION"])
def test_telemetry_and_slow_kernels_are_off_unless_the_user_set_them(
    name: str, given: str | None, expected: str
) -> None:
    environment = {key: value for key, value in os.environ.items() if key != name}
    if given is not None:
        environment[name] = given
    program = (
        "import os\nfrom headway.runtime.providers import import_onnxruntime\n"
        f"import_onnxruntime()\nprint(os.environ['{name}'])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == expected
