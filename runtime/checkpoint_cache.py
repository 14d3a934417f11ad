"""``export=True``: a PyTorch checkpoint exported once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import importlib
import os
from pathlib import Path

from .artifact import MANIFEST_FILE
from .errors import MissingExtraError


def export_once(checkpoint: Path, task: str | None, cache_dir: str | Path | None = None) -> Path:
    """Folder of the checkpoint's export, made on the first call and found on later ones.

    The key holds the checkpoint's place, its files' sizes and times, and the task, so that a changed checkpoint is
    exported again.

    Raises:
        MissingExtraError: the ``[export]`` extra is not installed.
    """
    folder = _cache_root(cache_dir) / _key(checkpoint, task)
    if not (folder / MANIFEST_FILE).is_file():
        _exporter()(str(checkpoint), folder, task=task, overwrite=True)
    return folder


def _exporter():  # type: ignore[no-untyped-def]
    try:
        # By name: runtime/ must not depend on export/, which may not be installed.
        return importlib.import_module("headway.export").export
    except ImportError as error:
        raise MissingExtraError(f"export=True needs the exporter ({error}). Install headway[export].") from error


def _cache_root(cache_dir: str | Path | None) -> Path:
    if cache_dir is not None:
        return Path(cache_dir) / "headway"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "headway" / "exports"


def _key(checkpoint: Path, task: str | None) -> str:
    digest = hashlib.sha256(f"{checkpoint.resolve()}|{task}".encode())
    for path in sorted(checkpoint.iterdir()):
        status = path.stat()
        digest.update(f"{path.name}|{status.st_size}|{status.st_mtime_ns}".encode())
    return f"{checkpoint.name}-{digest.hexdigest()[:16]}"
