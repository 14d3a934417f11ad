"""What a measurement depends on: the CPU, how much of it this process may use, and ONNX Runtime's build."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from ..providers import OPENVINO_PROVIDER, import_onnxruntime
from ..threads import usable_cpu_count

_CPUINFO = Path("/proc/cpuinfo")
_MODEL_KEYS = ("model name", "CPU part", "cpu model")
_FLAG_KEYS = ("flags", "Features")
# Instruction sets that ONNX Runtime's and OpenVINO's kernels are chosen by.
_FLAG_PREFIXES = (
    *("avx", "amx", "fma", "f16c", "sse4", "ssse3"),
    *("asimd", "sve", "sme", "i8mm", "bf16", "fphp", "neon", "dotprod"),
)


@dataclass(frozen=True)
class Fingerprint:
    """A machine as far as speed is concerned.

    Args:
        cpu: the model's name.
        flags: instruction sets that kernels are chosen by.
        usable_cpus: CPUs that this process may use.
        onnxruntime: version, with the provider where the build brings one that runs on the CPU.
    """

    cpu: str
    flags: tuple[str, ...]
    usable_cpus: int
    onnxruntime: str

    @cached_property
    def key(self) -> str:
        """A short digest, the name of a record."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]

    def to_text(self) -> str:
        """For people."""
        return f"{self.cpu}, {self.usable_cpus} CPUs, onnxruntime {self.onnxruntime}"


def this_machine(cpuinfo: Path = _CPUINFO) -> Fingerprint:
    """The fingerprint of this process on this machine.

    Args:
        cpuinfo: where Linux describes the CPU; elsewhere Python's ``platform`` says what it knows.
    """
    onnxruntime = import_onnxruntime()
    has_openvino = OPENVINO_PROVIDER in onnxruntime.get_available_providers()
    model, flags = _cpu(cpuinfo)
    version = str(onnxruntime.__version__) + (" openvino" if has_openvino else "")
    return Fingerprint(model, flags, usable_cpu_count(), version)


def _cpu(cpuinfo: Path) -> tuple[str, tuple[str, ...]]:
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine(), ()
    # The first processor stands for all.
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    model = next((fields[key] for key in _MODEL_KEYS if key in fields), platform.machine())
    flags = next((fields[key] for key in _FLAG_KEYS if key in fields), "")
    return model, tuple(sorted(flag for flag in flags.split() if flag.startswith(_FLAG_PREFIXES)))
