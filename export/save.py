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

from headway.runtime.errors import ExportError, HeadwayError, OutputExistsError

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
    "image_processor_config.json",
    "video_preprocessor_config.json",
    "LICENSE*",
)


@contextmanager
def staged_folder(target: Path, *, overwrite: bool, source: Path | None = None) -> Iterator[Path]:
    """A folder beside ``target`` to write into; it takes the target's place when the block ends without an error.

    Args:
        target: an empty folder counts as none.
        overwrite: replace what is there.
        source: the checkpoint's folder, which must survive.

    Raises:
        OutputExistsError: the target exists and ``overwrite`` is False, or replacing it would delete something else.
        ExportError: the disk is full, or the place cannot be written.
    """
    target = target.expanduser().resolve()
    _require_replaceable(target, overwrite, source.resolve() if source else None)
    missing_parents = [parent for parent in target.parents if not parent.exists()]
    staging: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        yield staging
        _move_into_place(staging, target)
    except HeadwayError:
        raise
    except OSError as error:
        raise _disk_error(error, target) from error
    except Exception as error:
        # The Rust library that writes tokenizer.json raises no OSError.
        if f"os error {errno.ENOSPC}" in str(error):
            raise _disk_error(OSError(errno.ENOSPC, str(error)), target) from error
        raise
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        if not target.exists():
            _remove_empty(missing_parents)


def _require_replaceable(target: Path, overwrite: bool, source: Path | None) -> None:
    if target.exists() and not target.is_dir():
        raise OutputExistsError(f"{target} is a file, not a folder. Choose another place.")
    if source is not None and source.is_relative_to(target):
        raise OutputExistsError(f"{target} holds the checkpoint itself. Choose another folder for the artifact.")
    if not target.exists() or not any(target.iterdir()):
        return
    if not overwrite:
        raise OutputExistsError(f"{target} exists. Pass --overwrite to replace it, or choose another folder.")
    precious = [place for place in (Path.cwd(), Path.home()) if place.resolve().is_relative_to(target)]
    weights = [path for pattern in _PRECIOUS_FILES for path in target.glob(pattern)]
    if precious or weights:
        raise OutputExistsError(
            f"{target} holds {(*weights, *precious)[0]}, which replacing it would delete. Choose another folder."
        )


# PyTorch weights and repositories: no artifact has them at its top.
_PRECIOUS_FILES = ("*.safetensors", "pytorch_model*.bin", ".git")


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders that were made for the target, innermost first."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


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
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
    if not target.exists():
        staging.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    kept = old / target.name
    try:
        target.rename(kept)
        staging.rename(target)
    finally:
        # Interrupted between the two, the old artifact goes back.
        if kept.exists() and not target.exists():
            kept.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def _disk_error(error: OSError, target: Path) -> Exception:
    if error.errno == errno.ENOSPC:
        return ExportError(
            f"The disk that holds {target.parent} is full; nothing was written. Free space and try again."
        )
    return ExportError(f"{target} could not be written: {error}. Nothing was left behind.")
