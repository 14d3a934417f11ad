"""Models whose files are used as they are."""

import shutil
from pathlib import Path

from headway.runtime.errors import CorruptArtifactError


def copy_folder(source: Path, target: Path) -> None:
    """Copy a checkpoint folder that transformers can already load."""
    shutil.copytree(source, target, dirs_exist_ok=True)


def copy_onnx(source: Path, target: Path) -> None:
    """Copy one ONNX file (or the only one in a folder) to ``model.onnx``."""
    files = [source] if source.is_file() else sorted(source.glob("*.onnx"))
    if len(files) != 1:
        raise CorruptArtifactError(f"Expected one ONNX file in {source.name}, found {len(files)}.")
    shutil.copyfile(files[0], target / "model.onnx")
