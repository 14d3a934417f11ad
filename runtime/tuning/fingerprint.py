"""What a measurement depends on: the CPU, how much of it this process may use, and ONNX Runtime's build."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from ..cpu_info import cpu_flags, cpu_model
from ..providers import OPENVINO_PROVIDER, import_onnxruntime
from ..threads import usable_cpu_count

_CPUINFO = Path("/proc/cpuinfo")
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
    flags = tuple(sorted(flag for flag in cpu_flags(cpuinfo) if flag.startswith(_FLAG_PREFIXES)))
    version = str(onnxruntime.__version__) + (" openvino" if has_openvino else "")
    return Fingerprint(cpu_model(cpuinfo), flags, usable_cpu_count(), version)
