"""What the CPU is called and which instructions it has, as far as the system says."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_MODEL_KEYS = ("model name", "CPU part", "cpu model")
_FLAG_KEYS = ("flags", "Features")
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16", "svebf16"})


@cache
def cpu_model(cpuinfo: Path = _CPUINFO) -> str:
    """The model's name; the machine's type where the system does not say more."""
    fields = _fields(cpuinfo)
    found = next((fields[key] for key in _MODEL_KEYS if fields.get(key)), "")
    return found or platform.processor() or platform.machine()


@cache
def cpu_flags(cpuinfo: Path = _CPUINFO) -> frozenset[str]:
    """Instruction sets by Linux's names; empty where the system does not say."""
    fields = _fields(cpuinfo)
    return frozenset(next((fields[key] for key in _FLAG_KEYS if key in fields), "").split())


def has_bfloat16(cpuinfo: Path = _CPUINFO) -> bool | None:
    """Whether the CPU computes in bfloat16; None where the system does not say."""
    flags = cpu_flags(cpuinfo)
    return bool(flags & _BFLOAT16_FLAGS) if flags else None


def _fields(cpuinfo: Path) -> dict[str, str]:
    """Facts about the first processor, which stands for all."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    fields: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields
