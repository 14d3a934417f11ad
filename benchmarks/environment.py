"""Facts about the machine and the environments that a measurement belongs to."""

import importlib.metadata
import platform
import re
import sys
from pathlib import Path
from typing import Any

from headway.runtime.threads import usable_cpu_count

PACKAGES = (
    "headway",
    "torch",
    "transformers",
    "sentence-transformers",
    "optimum",
    "onnxruntime",
    "tokenizers",
    "numpy",
)


def describe_environment() -> dict[str, Any]:
    """Processor, CPUs this process may use, Python and package versions, for the record of a measurement."""
    return {
        "processor": _processor_name(),
        "cpus": usable_cpu_count(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _processor_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return names[0] if names else platform.processor()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def folder_bytes(folder: Path) -> int:
    """Bytes that a folder takes on disk, a file with several names counted once."""
    files = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        files[status.st_ino, status.st_dev] = status.st_blocks * 512
    return sum(files.values())


def installed_bytes(*packages: str, python: Path | None = None) -> int:
    """Bytes of installed `packages` and of all they require, as a user of only these would have.

    Args:
        packages: names; one that is not installed counts nothing.
        python: interpreter of the environment to look in, of the version that runs this; this one's by default.
    """
    import packaging.requirements

    places = [str(path) for path in python.parents[1].glob("lib*/python*/site-packages")] if python else sys.path
    found: dict[str, int] = {}
    waiting = list(packages)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        distribution = next(iter(importlib.metadata.distributions(name=name, path=places)), None)
        if name in found or distribution is None:
            continue
        paths = (Path(str(distribution.locate_file(file))) for file in distribution.files or [])
        found[name] = sum(path.stat().st_blocks * 512 for path in paths if path.is_file())
        for line in distribution.requires or []:
            requirement = packaging.requirements.Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return sum(found.values())
