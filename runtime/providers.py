"""Devices to ONNX Runtime execution providers, never falling back to another one in silence."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import MissingExtraError, OptionError, ProviderError

logger = logging.getLogger("headway")

Provider = str | tuple[str, dict[str, Any]]

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"
OPENVINO_PROVIDER = "OpenVINOExecutionProvider"


def import_onnxruntime() -> Any:
    """The onnxruntime module, imported with its telemetry off unless the user set ORT_DISABLE_TELEMETRY.

    Raises:
        MissingExtraError: no onnxruntime package is installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            f"onnxruntime cannot be imported ({error}). Install one of the extras: headway[cpu], [gpu], [openvino]."
        ) from error
    return onnxruntime


def resolve_providers(device: str | int, providers: Sequence[Provider] | None = None) -> list[Provider]:
    """Execution providers for ``device``, in order of preference.

    Args:
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"openvino"``; a number is a GPU's, -1 the CPU.
        providers: an explicit list in ONNX Runtime's form; it wins over ``device``.

    Raises:
        OptionError: the device is unknown, or the list is malformed.
        ProviderError: the device cannot be used; the message says what is missing. There is no silent fall back.
    """
    available = import_onnxruntime().get_available_providers()
    if providers is not None:
        return _explicit_providers(providers, available)
    name, index = _parse_device(device)
    return _DEVICES[name](available, index)


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


def _cpu(available: Sequence[str], index: int) -> list[Provider]:
    return [CPU_PROVIDER]


def _cuda(available: Sequence[str], index: int) -> list[Provider]:
    if CUDA_PROVIDER not in available:
        raise ProviderError(
            f"device='cuda' was asked for, but the installed onnxruntime has only {', '.join(available)}. "
            "Install headway[gpu] (onnxruntime-gpu) in place of headway[cpu]."
        )
    _preload_cuda_libraries()
    # Same-as-requested keeps the arena from doubling with every new shape.
    return [(CUDA_PROVIDER, {"device_id": str(index), "arena_extend_strategy": "kSameAsRequested"}), CPU_PROVIDER]


def _preload_cuda_libraries() -> None:
    # CUDA and cuDNN from Python packages are not on the loader's path; ONNX Runtime 1.21 and later can find them.
    preload = getattr(import_onnxruntime(), "preload_dlls", None)
    if preload is not None:
        preload()


def _openvino(available: Sequence[str], index: int) -> list[Provider]:
    if OPENVINO_PROVIDER not in available:
        raise ProviderError(
            f"device='openvino' was asked for, but the installed onnxruntime has only {', '.join(available)}. "
            "Install headway[openvino] (onnxruntime-openvino) in place of headway[cpu]."
        )
    return [(OPENVINO_PROVIDER, {"device_type": "CPU"}), CPU_PROVIDER]


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


def _auto(available: Sequence[str], index: int) -> list[Provider]:
    device, reason = auto_device(available)
    logger.info("device='auto' chose %s: %s", device, reason)
    return _DEVICES[device](available, index)


_DEVICES: Mapping[str, Callable[[Sequence[str], int], list[Provider]]] = {
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
            "The lines it logged above name the missing library (CUDA 13 and cuDNN 9 for headway[gpu])."
        )


def _nvidia_driver_present() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()
