"""The package list is written by hand; these tests compare it with what lies on disk."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = PROJECT["tool"]["setuptools"]["package-dir"]


def packages_on_disk() -> set[str]:
    found = set()
    for package, folder in FOLDERS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            inside = init.parent.relative_to(ROOT / folder).parts
            found.add(".".join((package, *inside)))
    return found


def test_every_package_on_disk_is_listed() -> None:
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages_on_disk()


@pytest.mark.parametrize("folder", sorted(FOLDERS.values()))
def test_every_module_lies_in_a_package(folder: str) -> None:
    strays = [path for path in (ROOT / folder).rglob("*.py") if not (path.parent / "__init__.py").is_file()]
    assert strays == []


@pytest.mark.parametrize(("package", "folder"), sorted(FOLDERS.items()))
def test_every_package_says_that_it_is_typed(package: str, folder: str) -> None:
    assert (ROOT / folder / "py.typed").is_file()
    assert PROJECT["tool"]["setuptools"]["package-data"][package] == ["py.typed"]


def test_every_other_file_goes_into_the_wheel() -> None:
    """Texts that calibration reads, pages that the server sends; what was measured stays in the repository."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    left_out = []
    for package, folder in FOLDERS.items():
        for path in (ROOT / folder).rglob("*"):
            inside = path.relative_to(ROOT / folder)
            if path.is_dir() or path.suffix == ".py" or {"__pycache__", "results"} & set(inside.parts):
                continue
            owner = next(parent for parent in inside.parents if (ROOT / folder / parent / "__init__.py").is_file())
            known = patterns.get(".".join((package, *owner.parts)), ())
            if not any(inside.relative_to(owner).match(pattern) for pattern in known):
                left_out.append(str(Path(folder) / inside))
    assert left_out == []


def test_headway_itself_is_a_namespace() -> None:
    assert not (ROOT / "headway").exists()


def test_tests_run_with_the_pinned_versions() -> None:
    """What the extras name and this environment holds is pinned, so that results can be had again."""
    import importlib.metadata

    from packaging.requirements import Requirement

    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            pins[requirement.name.lower().replace("_", "-")] = requirement.specifier
    extras = PROJECT["project"]["optional-dependencies"]
    lines = [line for extra in ("cpu", "export", "bench", "dev") for line in extras[extra]]
    for line in PROJECT["project"]["dependencies"] + lines:
        name = Requirement(line).name.lower().replace("_", "-")
        if name != "headway":
            assert name in pins, f"{name} is not pinned in constraints.txt"
            assert pins[name].contains(importlib.metadata.version(name)), f"{name} is not the pinned version"
