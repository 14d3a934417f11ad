"""What a user of the runtime gets: the built wheel with its ``[cpu]`` extra in an environment of its own."""

import os
import subprocess
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from headway.benchmarks.environment import folder_bytes

ROOT = Path(__file__).parents[2]
MEGABYTE = 10**6
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(clean_python: Path, tmp_path: Path) -> Run:
    """Run a program of the clean environment in an empty folder, so that nothing of the checkout is on its path."""

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(clean_python.with_name(program)), *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


def succeed(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


def modules_on_disk() -> set[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    return {
        f"{package.replace('.', '/')}/{path.relative_to(ROOT / folder).as_posix()}"
        for package, folder in settings["package-dir"].items()
        for path in (ROOT / folder).rglob("*.py")
    }


def test_the_wheel_holds_every_module_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if name.endswith(".py")} == modules_on_disk()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"headway"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_environment_is_small(clean_python: Path) -> None:
    """Everything counts, pip too (the limit is the design's)."""
    assert folder_bytes(clean_python.parent.parent) < 240 * MEGABYTE


def test_neither_torch_nor_transformers_is_there(run: Run) -> None:
    installed = succeed(run("python", "-m", "pip", "list", "--format", "freeze")).lower()
    assert "onnxruntime==" in installed
    assert not any(f"\n{name}==" in f"\n{installed}" for name in ("torch", "transformers", "optimum", "onnx"))


def test_every_module_of_the_runtime_imports(run: Run) -> None:
    program = """
import importlib, pkgutil, headway.runtime
for module in pkgutil.walk_packages(headway.runtime.__path__, prefix="headway.runtime."):
    if not module.name.startswith("headway.runtime.server."):  # needs the [serve] extra
        importlib.import_module(module.name)
"""
    succeed(run("python", "-W", "error", "-c", program))


def test_the_runtime_imports_fast(run: Run) -> None:
    """The best of several fresh processes: others on the machine can only make it slower."""
    program = "import time; t = time.perf_counter(); import headway.runtime; print(time.perf_counter() - t)"
    assert min(float(succeed(run("python", "-c", program))) for _ in range(5)) < 0.3


def test_the_command_says_what_it_can_do(run: Run) -> None:
    text = succeed(run("headway", "--help"))
    assert "export" in text
    assert "inspect" in text


def test_serve_without_its_extra_says_what_to_install(run: Run) -> None:
    result = run("headway", "serve", "artifact")
    assert result.returncode == 1
    assert "headway[serve]" in result.stderr
    assert "Traceback" not in result.stderr


def test_export_without_its_extra_says_what_to_install(run: Run) -> None:
    result = run("headway", "export", "checkpoint", "out")
    assert result.returncode == 1
    assert "headway[export]" in result.stderr
    assert "Traceback" not in result.stderr
