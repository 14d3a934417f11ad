"""Devices to ONNX Runtime execution providers, and the threads this process may use."""

from __future__ import annotations

import logging
import math
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


def resolve_providers(device: str, providers: Sequence[Provider] | None = None) -> list[Provider]:
    """Execution providers for ``device``, in order of preference.

    Args:
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"openvino"``.
        providers: an explicit list in ONNX Runtime's form; it wins over ``device``.

    Raises:
        OptionError: the device is unknown.
        ProviderError: the device cannot be used; the message says what is missing. There is no silent fall back.
    """
    available = import_onnxruntime().get_available_providers()
    if providers is not None:
        return _explicit_providers(providers, available)
    name, _, index = device.partition(":")
    if name not in _DEVICES or (index and (name != "cuda" or not index.isdigit())):
        raise OptionError(f"Unknown device {device!r}; allowed are auto, cpu, cuda, cuda:N and openvino.")
    return _DEVICES[name](available, int(index or 0))


def _cpu(available: Sequence[str], index: int) -> list[Provider]:
    return [CPU_PROVIDER]


def _cuda(available: Sequence[str], index: int) -> list[Provider]:
    if CUDA_PROVIDER not in available:
        raise ProviderError(
            f"device='cuda' was asked for, but the installed onnxruntime has only {', '.join(available)}. "
            "Install headway[gpu] (onnxruntime-gpu) in place of headway[cpu]."
        )
    preload = getattr(import_onnxruntime(), "preload_dlls", None)
    if preload is not None:
        preload()
    # Same-as-requested keeps the arena from doubling with every new shape.
    return [(CUDA_PROVIDER, {"device_id": str(index), "arena_extend_strategy": "kSameAsRequested"}), CPU_PROVIDER]


def _openvino(available: Sequence[str], index: int) -> list[Provider]:
    if OPENVINO_PROVIDER not in available:
        raise ProviderError(
            f"device='openvino' was asked for, but the installed onnxruntime has only {', '.join(available)}. "
            "Install headway[openvino] (onnxruntime-openvino) in place of headway[cpu]."
        )
    return [(OPENVINO_PROVIDER, {"device_type": "CPU"}), CPU_PROVIDER]


def _auto(available: Sequence[str], index: int) -> list[Provider]:
    if CUDA_PROVIDER in available and _nvidia_driver_present():
        logger.info("device='auto' chose cuda: the CUDA provider and an NVIDIA driver are there")
        return _cuda(available, index)
    logger.info("device='auto' chose cpu")
    return [CPU_PROVIDER]


_DEVICES: Mapping[str, Callable[[Sequence[str], int], list[Provider]]] = {
    "auto": _auto,
    "cpu": _cpu,
    "cuda": _cuda,
    "openvino": _openvino,
}


def _explicit_providers(providers: Sequence[Provider], available: Sequence[str]) -> list[Provider]:
    names = [provider if isinstance(provider, str) else provider[0] for provider in providers]
    missing = [name for name in names if name not in available]
    if missing or not names:
        raise ProviderError(f"Providers {missing or names} are not available; this onnxruntime has {available}.")
    return list(providers)


def require_provider(asked: Sequence[Provider], active: Sequence[str]) -> None:
    """Check that the session really runs on the first provider asked for.

    ONNX Runtime drops a provider whose libraries do not load and goes on with the next one.

    Raises:
        ProviderError: the provider was dropped.
    """
    first = asked[0] if isinstance(asked[0], str) else asked[0][0]
    if first not in active:
        raise ProviderError(
            f"{first} was asked for and could not be loaded; ONNX Runtime would have run on {', '.join(active)}. "
            "The lines it logged above name the missing library (CUDA 13 and cuDNN 9 for headway[gpu])."
        )


def _nvidia_driver_present() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()


def usable_cpu_count() -> int:
    """CPUs this process may really use: its affinity, cut to the cgroup's quota, never below one."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota = _cgroup_cpu_quota(Path("/sys/fs/cgroup"))
    return max(1, min(affinity, math.ceil(quota))) if quota is not None else max(1, affinity)


def _cgroup_cpu_quota(root: Path) -> float | None:
    """CPUs allowed by cgroup v2 (cpu.max) or v1 (cpu.cfs_quota_us), or None where there is no limit."""
    try:
        version2 = root / "cpu.max"
        if version2.is_file():
            quota, period = version2.read_text(encoding="ascii").split()[:2]
            return None if quota == "max" else int(quota) / int(period)
        quota_us = int((root / "cpu" / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period_us = int((root / "cpu" / "cpu.cfs_period_us").read_text(encoding="ascii"))
        return quota_us / period_us if quota_us > 0 else None
    except (OSError, ValueError):
        return None
