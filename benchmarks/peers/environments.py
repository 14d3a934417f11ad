"""One environment for each peer, made once and kept in the user's cache: their pins contradict one another."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headway.runtime.errors import HeadwayError

ROOT = Path(__file__).resolve().parents[2]

INSTALL_VARIABLE = "HEADWAY_BENCH_INSTALL"

# llama.cpp's own choice for this machine takes AMX kernels that crash on some virtual machines.
_LLAMA_CPP_BUILD = (
    "-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON -DGGML_AVX512=ON "
    "-DGGML_AVX512_VBMI=ON -DGGML_AVX512_VNNI=ON -DGGML_AVX512_BF16=ON -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF"
)


class PeerUnavailableError(HeadwayError, RuntimeError):
    """A peer cannot be installed or started here; the message says why."""


@dataclass(frozen=True)
class Environment:
    """What an environment holds.

    Args:
        requirements: what is installed; ``torch`` stands for the version that constraints.txt pins.
        remove: packages that a peer drags in and that break it.
        variables: of the processes that install it.
        is_constrained: whether constraints.txt holds for all of it.
        is_clean: Headway is installed like any other package, not linked to these sources.
    """

    requirements: tuple[str, ...]
    remove: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    is_constrained: bool = False
    is_clean: bool = False


ENVIRONMENTS: Mapping[str, Environment] = {
    "headway": Environment(("headway[cpu]",), is_constrained=True, is_clean=True),
    "headway-openvino": Environment(
        ("onnxruntime-openvino==1.24.1", "numpy", "tokenizers", "jinja2", "huggingface_hub")
    ),
    "onnxruntime-genai": Environment(
        ("onnxruntime-genai==0.18.0", "onnx", "onnx-ir", "transformers", "torch"),
    ),
    "optimum-onnx": Environment(("optimum-onnx[onnxruntime]==0.1.0", "torch")),
    "openvino": Environment(
        (
            "optimum-intel==2.2.0",
            "openvino==2026.4.1",
            "openvino-genai==2026.4.1.0",
            "openvino-tokenizers==2026.4.1.0",
            "nncf==3.4.0",
            "sentence-transformers",
            "torch",
        ),
        remove=("torchvision",),
    ),
    "llama-cpp": Environment(
        ("llama-cpp-python==0.3.36",),
        variables={"CMAKE_ARGS": _LLAMA_CPP_BUILD, "CMAKE_BUILD_PARALLEL_LEVEL": "1"},
    ),
    "fastembed": Environment(("fastembed==0.9.1",)),
}


def environment_python(name: str) -> Path:
    """The interpreter of a peer's environment, which is built on first use.

    Raises:
        PeerUnavailableError: pip could not install the peer, or the variable ``HEADWAY_BENCH_INSTALL`` is 0.
    """
    folder = environment_folder(name)
    python = folder / "bin" / "python"
    if not (folder / ".installed").exists():
        if os.environ.get(INSTALL_VARIABLE) == "0":
            raise PeerUnavailableError("not installed; `python -m headway.benchmarks --environments` does it")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            venv.create(folder, with_pip=True)
            _install(python, ENVIRONMENTS[name])
        except (PeerUnavailableError, OSError, subprocess.CalledProcessError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise PeerUnavailableError(str(error)) from error
        (folder / ".installed").touch()
    if ENVIRONMENTS[name].is_clean:
        _renew_headway(python)
    return python


def environment_folder(name: str) -> Path:
    """Where a peer's environment lies; its name changes with what it is to hold."""
    environment = ENVIRONMENTS[name]
    parts = (*environment.requirements, *environment.remove, *environment.variables.values(), _pinned_torch())
    key = hashlib.sha256("|".join((*parts, sys.version)).encode()).hexdigest()[:12]
    return cache_folder("environments") / f"{name}-{key}"


def cache_folder(name: str) -> Path:
    """A folder of Headway's in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headway" / name


def _renew_headway(python: Path) -> None:
    """Install Headway as it is now, where its sources have changed since it was installed."""
    marker = python.parents[1] / ".headway"
    digest = _sources_digest()
    if not marker.exists() or marker.read_text(encoding="ascii") != digest:
        wheel = _wheel(python.parents[1] / "wheel")
        _pip(python, Environment(()), "install", "--no-deps", "--force-reinstall", wheel)
        marker.write_text(digest, encoding="ascii")


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for folder in ("runtime", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _install(python: Path, environment: Environment) -> None:
    torch = _pinned_torch()
    names = [torch if requirement == "torch" else requirement for requirement in environment.requirements]
    if names == ["headway[cpu]"]:
        names = [_wheel(python.parents[1] / "wheel") + "[cpu]"]
    constraints = ["-c", str(ROOT / "constraints.txt")] if environment.is_constrained else []
    if torch in names:
        # Alone first: a peer's looser range would otherwise choose a build of it that is gigabytes larger.
        _pip(python, environment, "install", torch)
    _pip(python, environment, "install", *constraints, *names)
    if environment.remove:
        _pip(python, environment, "uninstall", "--yes", *environment.remove)
    if not environment.is_clean:
        _pip(python, environment, "install", "--no-deps", "-e", str(ROOT))


def _wheel(folder: Path) -> str:
    """Path of a wheel built from these sources; through a source distribution, so that nothing stale gets in."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerUnavailableError(f"Headway's wheel cannot be built: {_reason(done.stderr)}")
    return str(next(folder.glob("*.whl")))


def _pip(python: Path, environment: Environment, *arguments: str) -> None:
    command = [str(python), "-m", "pip", arguments[0], "--quiet", *arguments[1:]]
    variables = {**os.environ, "PIP_NO_CACHE_DIR": "1", **environment.variables}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerUnavailableError(f"pip: {_reason(done.stderr)}")


def _reason(messages: str) -> str:
    """The lines of pip's messages that say what went wrong."""
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    errors = [line.partition("ERROR:")[2].strip() for line in lines if "ERROR:" in line]
    return " ".join(errors[:2] or lines[-1:] or ["it ended without saying why"])


def _pinned_torch() -> str:
    found = re.search(r"^torch==\S+", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    return found.group() if found else "torch"
