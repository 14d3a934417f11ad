"""``export=True``: a PyTorch checkpoint exported once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .artifact import canonical_dtype
from .errors import MissingExtraError
from .manifest import FORMAT_VERSION, MANIFEST_FILE

if TYPE_CHECKING:
    from .model_loading import HubOptions


def export_once(
    checkpoint: Path,
    task: str | None,
    *,
    dtype: str | None = None,
    cache_dir: str | Path | None = None,
    hub_id: str | None = None,
    hub: HubOptions | None = None,
) -> Path:
    """Folder of the checkpoint's export, made on the first call and found on later ones.

    The key holds the checkpoint's place, its files' sizes and times, task and precision, so that a changed checkpoint
    is exported again.

    Args:
        checkpoint: the checkpoint's folder, or the snapshot of a hub repository's configs.
        task: the task to export for; None infers it.
        dtype: the precision to export; None takes fp32.
        cache_dir: where exports are kept, below a folder ``headway``; None takes the user's cache.
        hub_id: the repository that the exporter fetches the weights from, where ``checkpoint`` has none.
        hub: how to get there.

    Raises:
        MissingExtraError: the ``[export]`` extra is not installed.
        ExportError: the checkpoint cannot be exported.
    """
    dtype = canonical_dtype(dtype) or "fp32"
    folder = _cache_root(cache_dir) / _key(checkpoint, task, dtype)
    if not (folder / MANIFEST_FILE).is_file():
        options: dict[str, Any] = {"task": task, "dtype": dtype, "overwrite": True}
        if hub_id is not None and hub is not None:
            options |= {"subfolder": hub.subfolder, "cache_dir": hub.cache_dir, "token": hub.token}
            options["revision"] = _commit(checkpoint) or hub.revision
        _exporter()(hub_id or str(checkpoint), folder, **options)
    return folder


def _exporter() -> Callable[..., object]:
    try:
        # By name: runtime/ must not depend on export/, which may not be installed.
        exporter: Callable[..., object] = importlib.import_module("headway.export").export
    except ImportError as error:
        raise MissingExtraError(f"export=True needs the exporter ({error}). Install headway[export].") from error
    return exporter


def _commit(snapshot: Path) -> str | None:
    """The commit that a hub snapshot was made of, so that the weights are those of the configs that were read."""
    parts = snapshot.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-1] else None


def _cache_root(cache_dir: str | Path | None) -> Path:
    if cache_dir is not None:
        return Path(cache_dir) / "headway"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headway" / "exports"


def _key(checkpoint: Path, task: str | None, dtype: str) -> str:
    digest = hashlib.sha256(f"{checkpoint.resolve()}|{task}|{dtype}|{FORMAT_VERSION}".encode())
    for path in sorted(checkpoint.iterdir()):
        if path.is_file():
            status = path.stat()
            digest.update(f"{path.name}|{status.st_size}|{status.st_mtime_ns}".encode())
    return f"{checkpoint.name}-{digest.hexdigest()[:16]}"
