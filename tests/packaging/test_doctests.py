"""Docstring examples run.

``pytest --doctest-modules`` would load every module a second time under the name of its folder, so the examples are run
from the modules as users import them. Examples that load an artifact find all-MiniLM-L6-v2 in ``out/``.
"""

import doctest
import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules_with_examples() -> list[str]:
    return sorted(
        "headway." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for folder in ("runtime", "export", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if ">>> " in path.read_text(encoding="utf-8")
    )


def assert_examples_hold(module: ModuleType) -> None:
    results = doctest.testmod(module, optionflags=FLAGS)
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples(name: str, minilm_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").symlink_to(minilm_artifact)
    monkeypatch.chdir(tmp_path)
    assert_examples_hold(importlib.import_module(name))


def test_a_wrong_example_fails() -> None:
    module = ModuleType("wrong", doc=">>> 1 + 1\n3\n")
    with pytest.raises(AssertionError):
        assert_examples_hold(module)
