"""Devices to ONNX Runtime execution providers, never falling back to another one in silence."""

from __future__ import annotations

import ctypes
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cpu_info import has_bfloat16
from .errors import MissingExtraError, OptionError, ProviderError

logger = logging.getLogger("headway")

Provider = str | tuple[str, dict[str, Any]]

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"
OPENVINO_PROVIDER = "OpenVINOExecutionProvider"


_PACKAGES: Mapping[str, str] = {
    CUDA_PROVIDER: "CUDA 13 and cuDNN 9, which headway[gpu] brings, and a driver for them",
    OPENVINO_PROVIDER: "the OpenVINO libraries, which onnxruntime-openvino brings",
}
# Dtype as transformers and PyTorch call it → OpenVINO's hint.
_OPENVINO_PRECISIONS: Mapping[str | None, str] = {None: "f32", "bf16": "bf16"}


@dataclass(frozen=True)
class ProviderSettings:
    """What a provider is told beside the device.

    Args:
        num_threads: threads of OpenVINO; None leaves the choice to it.
        precision: what OpenVINO computes in: ``"bf16"``, or None for float32.
        memory_limit_bytes: most memory that CUDA's arena takes; None for no limit.
        cuda_graph: let CUDA record a run of fixed shapes and repeat it.
    """

    num_threads: int | None = None
    precision: str | None = None
    memory_limit_bytes: int | None = None
    cuda_graph: bool = False


DEFAULT_SETTINGS = ProviderSettings()

# What ONNX Runtime (1.31) can be told through the environment alone. GroupQueryAttention's flash kernel for the CPU
# works in small tiles: without it attention takes half the time for a prompt of 128 tokens, two thirds for one of 512.
_ENVIRONMENT = {"ORT_DISABLE_TELEMETRY": "1", "ORT_GQA_DISABLE_FLASH_ATTENTION": "1"}


def import_onnxruntime() -> Any:
    """The onnxruntime module, its telemetry and slower kernels off unless the user's environment says otherwise.

    Raises:
        MissingExtraError: no onnxruntime package is installed.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            f"onnxruntime cannot be imported ({error}). Install one of the extras: headway[cpu], [gpu], [openvino]."
        ) from error
    return onnxruntime


def resolve_providers(
    device: str | int, providers: Sequence[Provider] | None = None, settings: ProviderSettings = DEFAULT_SETTINGS
) -> list[Provider]:
    """Execution providers for ``device``, in order of preference.

    Args:
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"openvino"``; a number is a GPU's, -1 the CPU.
        providers: an explicit list in ONNX Runtime's form; it wins over ``device`` and ``settings``.
        settings: what the device's provider is told.

    Raises:
        OptionError: the device is unknown, the list is malformed, or a setting is another device's.
        ProviderError: the device cannot be used; the message says what is missing. There is no silent fall back.
    """
    available = import_onnxruntime().get_available_providers()
    if providers is not None:
        return _explicit_providers(providers, available)
    name, index = _parse_device(device)
    _require_own_settings(name, settings)
    return _DEVICES[name](available, index, settings)


def _require_own_settings(device: str, settings: ProviderSettings) -> None:
    if settings.precision is not None and device != "openvino":
        raise OptionError(
            f"{settings.precision} is what device='openvino' computes in; this is device={device!r}. Pass "
            "device='openvino', or one of the folder's precisions as dtype=."
        )
    if settings.precision not in _OPENVINO_PRECISIONS:
        raise OptionError(f"OpenVINO computes in float32 or bf16 here, not in {settings.precision!r}.")
    limit = settings.memory_limit_bytes
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise OptionError(f"memory_limit_bytes is {limit!r}; a whole number of bytes is needed, or None.")
    if device not in ("cuda", "auto") and (settings.cuda_graph or limit is not None):
        option = "cuda_graph" if settings.cuda_graph else "memory_limit_bytes"
        raise OptionError(f"{option} belongs to device='cuda'; this is device={device!r}. Leave it out.")


def computing_precision(dtype: str | None) -> tuple[str | None, str | None]:
    """The precision of the folder that a dtype asks for, and what OpenVINO is to compute in.

    bfloat16 is no precision of a folder: OpenVINO computes in it from float32 weights.

    >>> computing_precision("bf16"), computing_precision("int8")
    (('fp32', 'bf16'), ('int8', None))
    """
    name = None if dtype is None else str(dtype).removeprefix("torch.")
    return ("fp32", "bf16") if name in ("bf16", "bfloat16") else (dtype, None)


def _parse_device(device: Any) -> tuple[str, int]:
    if isinstance(device, int) and not isinstance(device, bool) and device >= -1:
        return ("cpu", 0) if device < 0 else ("cuda", device)
    name, colon, index = str(device).partition(":")
    indexed = name == "cuda" and index.isascii() and index.isdigit()
    if name not in _DEVICES or (colon and not indexed) or not isinstance(device, str):
        raise OptionError(
            f"Unknown device {device!r}; allowed are auto, cpu, cuda, cuda:N, openvino, and N for cuda:N."
        )
    return name, int(index or 0)


def _cpu(available: Sequence[str], index: int, settings: ProviderSettings) -> list[Provider]:
    return [CPU_PROVIDER]


def _cuda(available: Sequence[str], index: int, settings: ProviderSettings) -> list[Provider]:
    if CUDA_PROVIDER not in available:
        raise ProviderError(
            f"device='cuda' was asked for, but the installed onnxruntime has only {', '.join(available)}. "
            "Install headway[gpu] (onnxruntime-gpu) in place of headway[cpu]."
        )
    _preload_cuda_libraries()
    # Same-as-requested keeps the arena from doubling with every new shape.
    options = {"device_id": str(index), "arena_extend_strategy": "kSameAsRequested"}
    if settings.memory_limit_bytes is not None:
        options["gpu_mem_limit"] = str(settings.memory_limit_bytes)
    if settings.cuda_graph:
        options["enable_cuda_graph"] = "1"
    return [(CUDA_PROVIDER, options), CPU_PROVIDER]


def _preload_cuda_libraries() -> None:
    # CUDA and cuDNN from Python packages are not on the loader's path; ONNX Runtime 1.21 and later can find them.
    preload = getattr(import_onnxruntime(), "preload_dlls", None)
    if preload is not None:
        preload()


def _openvino(available: Sequence[str], index: int, settings: ProviderSettings) -> list[Provider]:
    if OPENVINO_PROVIDER not in available:
        raise ProviderError(
            f"device='openvino' was asked for, but the installed onnxruntime has only {', '.join(available)}. "
            "Install headway[openvino] (onnxruntime-openvino) in place of headway[cpu]."
        )
    if settings.precision == "bf16" and has_bfloat16() is False:
        raise ProviderError(
            "dtype='bf16' was asked for, but this CPU has no bfloat16 instructions (avx512_bf16, amx_bf16). Leave "
            "dtype out to compute in float32, or pass another precision of the folder."
        )
    # Said in so many words: OpenVINO's own default is bfloat16 where the CPU has it, whatever the graph says.
    config = {"INFERENCE_PRECISION_HINT": _OPENVINO_PRECISIONS[settings.precision]}
    if settings.num_threads is not None:
        config["INFERENCE_NUM_THREADS"] = str(settings.num_threads)
    return [(OPENVINO_PROVIDER, {"device_type": "CPU", "load_config": json.dumps({"CPU": config})}), CPU_PROVIDER]


def auto_device(available: Sequence[str]) -> tuple[str, str]:
    """What ``device="auto"`` stands for, ``"cuda"`` or ``"cpu"``, and why.

    Args:
        available: providers of the installed onnxruntime.
    """
    if CUDA_PROVIDER not in available:
        return "cpu", "this onnxruntime has no CUDA provider"
    if not _nvidia_driver_present():
        return "cpu", "no NVIDIA driver"
    return "cuda", "the CUDA provider and an NVIDIA driver are there"


def _auto(available: Sequence[str], index: int, settings: ProviderSettings) -> list[Provider]:
    device, reason = auto_device(available)
    logger.info("device='auto' chose %s: %s", device, reason)
    return _DEVICES[device](available, index, settings)


_DEVICES: Mapping[str, Callable[[Sequence[str], int, ProviderSettings], list[Provider]]] = {
    "auto": _auto,
    "cpu": _cpu,
    "cuda": _cuda,
    "openvino": _openvino,
}


def _explicit_providers(providers: Sequence[Provider], available: Sequence[str]) -> list[Provider]:
    if isinstance(providers, str) or not providers or not all(_is_provider(provider) for provider in providers):
        raise OptionError(
            f"providers is {providers!r}; a list of names or (name, options) pairs is needed, "
            f"with names from {', '.join(available)}."
        )
    missing = [name for name in map(provider_name, providers) if name not in available]
    if missing:
        raise ProviderError(
            f"Providers {', '.join(missing)} are not in the installed onnxruntime, which has {', '.join(available)}. "
            "Install the extra that brings them: headway[gpu] or headway[openvino]."
        )
    if CUDA_PROVIDER in map(provider_name, providers):
        _preload_cuda_libraries()
    return list(providers)


def _is_provider(provider: Any) -> bool:
    if isinstance(provider, tuple):
        return len(provider) == 2 and isinstance(provider[0], str) and isinstance(provider[1], dict)
    return isinstance(provider, str)


def provider_name(provider: Provider) -> str:
    """Name of a provider given with or without options."""
    return provider if isinstance(provider, str) else provider[0]


def require_provider(asked: Sequence[Provider], active: Sequence[str]) -> None:
    """Check that the session really runs on the first provider asked for.

    ONNX Runtime drops a provider whose libraries do not load and goes on with the next one.

    Raises:
        ProviderError: the provider was dropped.
    """
    first = provider_name(asked[0])
    if first not in active:
        raise ProviderError(
            f"{first} was asked for and could not be loaded; ONNX Runtime would have run on {', '.join(active)}. "
            f"{missing_library(first) or 'The lines it logged above name the missing library.'} It needs "
            f"{_PACKAGES.get(first, 'the libraries of its package')}."
        )


def missing_library(name: str) -> str | None:
    """What the system's loader says about a provider's library, such as the name of another one that is not found.

    None where it loads, or there is no such library.
    """
    folder = Path(getattr(import_onnxruntime(), "__file__", None) or ".").parent / "capi"
    stem = name.removesuffix("ExecutionProvider").lower()
    library = next(iter(sorted(folder.glob(f"*onnxruntime_providers_{stem}.*"))), None)
    if library is None:
        return None
    shared = next(iter(sorted(folder.glob("*onnxruntime_providers_shared.*"))), None)
    try:
        for path in filter(None, (shared, library)):
            ctypes.CDLL(str(path))
    except OSError as error:
        return f"The loader says: {error}."
    return None


def _nvidia_driver_present() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()
