"""What the documents show is run here, in the order in which a reader would."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headway.runtime.cli import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RUN_IN_TESTS = ("headway ", "echo ")


def blocks() -> list[tuple[str, str]]:
    """Every fenced block as (language, text)."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def shell_commands(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(RUN_IN_TESTS)]


@pytest.fixture
def folder(minilm_checkpoint: Path, smollm2_checkpoint: Path, tmp_path: Path) -> Path:
    """An empty folder where the hub ids that the README names are local checkpoints, so that no hub is needed."""
    for name, checkpoint in {
        "sentence-transformers/all-MiniLM-L6-v2": minilm_checkpoint,
        "HuggingFaceTB/SmolLM2-135M-Instruct": smollm2_checkpoint,
    }.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).symlink_to(checkpoint)
    return tmp_path


def test_the_readme_runs(folder: Path) -> None:
    """Shell lines and Python blocks in order, a process for each, as a reader would paste them."""
    printed = ""
    for language, text in blocks():
        commands = {
            "sh": [["bash", "-ec", line] for line in shell_commands(text)],
            "python": [[sys.executable, "-W", "error::DeprecationWarning", "-c", text]],
        }
        for command in commands.get(language, []):
            result = run(command, folder)
            assert result.returncode == 0, f"{command[-1]}\n{result.stderr}"
            printed += result.stdout
    for promised in re.findall(r"\.shape\)  # (\(.*\))$", README, re.MULTILINE):
        assert promised in printed
    assert printed.count("The capital of France is Paris.") == 2
    assert (folder / "vectors.jsonl").read_text().count("\n") == 1


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder` with this environment's programs first, and no hub."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environment = {"PATH": path, "HF_HUB_OFFLINE": "1", "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_every_command_is_listed_with_its_help() -> None:
    for name, module in COMMANDS.items():
        assert f"| `headway {name}` | {importlib.import_module(module).HELP} |" in README


def test_the_map_names_what_exists() -> None:
    section = README.split("## Where things are")[1]
    for name in re.findall(r"^(\w+/) ", section, re.MULTILINE):
        assert (ROOT / name).is_dir()
    for name in re.findall(r"\]\((\w[\w.]*)\)", section):
        assert (ROOT / name).is_file()


def test_contributing_names_what_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:runtime|export|benchmarks|tests)/[\w/.]*)`", text)
    assert paths
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert missing == []
