"""The runtime must never reach torch or transformers, and must import fast."""

import pkgutil
import subprocess
import sys

import headway.runtime

MODULES = sorted(module.name for module in pkgutil.walk_packages(headway.runtime.__path__, prefix="headway.runtime."))
FORBIDDEN = ("torch", "transformers", "optimum", "onnx", "onnxscript", "headway.export", "headway.benchmarks")


def loaded_after(statement: str) -> set[str]:
    """Names of the modules a fresh interpreter holds after `statement`."""
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_no_module_of_the_runtime_reaches_the_exporter() -> None:
    assert len(MODULES) > 10
    loaded = loaded_after("\n".join(f"import {name}" for name in MODULES))
    assert set(MODULES) <= loaded
    assert loaded.isdisjoint(FORBIDDEN)


def test_the_guard_sees_a_forbidden_import() -> None:
    assert not loaded_after("import headway.benchmarks").isdisjoint(FORBIDDEN)


def test_importing_the_runtime_leaves_heavy_packages_alone() -> None:
    loaded = loaded_after("import headway.runtime")
    assert loaded.isdisjoint({"numpy", "onnxruntime", "tokenizers", "huggingface_hub", "jinja2"})
