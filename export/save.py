"""Writing an artifact: beside its final place, then renamed, so that a failed export leaves nothing behind."""

from __future__ import annotations

import copy
import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headway.runtime.errors import ExportError, OutputExistsError

# Files of a checkpoint that go along as they are: pooling and prompts of sentence-transformers, preprocessing.
COMPANION_PATTERNS = (
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "*_Pooling/config.json",
    "*_Dense/*",
    "*_Normalize/*",
    "preprocessor_config.json",
    "processor_config.json",
    "LICENSE*",
)


@contextmanager
def staged_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder beside ``target`` to write into; it takes the target's place when the block ends without an error.

    Raises:
        OutputExistsError: the target exists and ``overwrite`` is False.
        ExportError: the disk is full, or the place cannot be written.
    """
    if target.exists() and not overwrite:
        raise OutputExistsError(f"{target} exists. Pass --overwrite to replace it, or choose another folder.")
    if target.exists() and not target.is_dir():
        raise OutputExistsError(f"{target} is a file, not a folder. Choose another place.")
    staging: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        yield staging
        _move_into_place(staging, target)
    except OSError as error:
        raise _disk_error(error, target) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def copy_companions(source: Path | None, folder: Path) -> list[str]:
    """Copy what a checkpoint holds beside its weights and the runtime reads; returns the paths copied."""
    copied = []
    for pattern in COMPANION_PATTERNS if source else ():
        for path in sorted(source.glob(pattern)):  # type: ignore[union-attr]
            relative = path.relative_to(source)  # type: ignore[arg-type]
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / relative)
            copied.append(relative.as_posix())
    return copied


def write_configs(model: Any, folder: Path) -> None:
    """Write config.json with every value, defaults included: the runtime does not know transformers' defaults."""
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]  # as save_pretrained writes it; a model made in memory has none
    config.to_json_file(folder / "config.json", use_diff=False)
    if model.can_generate() and getattr(model, "generation_config", None) is not None:
        model.generation_config.save_pretrained(folder)


def _move_into_place(staging: Path, target: Path) -> None:
    staging.chmod(0o755)
    if not target.exists():
        staging.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    target.rename(old / target.name)
    try:
        staging.rename(target)
    except OSError:
        (old / target.name).rename(target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _disk_error(error: OSError, target: Path) -> Exception:
    if isinstance(error, ExportError):
        return error
    if error.errno == errno.ENOSPC:
        return ExportError(
            f"The disk that holds {target.parent} is full; nothing was written. Free space and try again."
        )
    return ExportError(f"{target} could not be written: {error}. Nothing was left behind.")
