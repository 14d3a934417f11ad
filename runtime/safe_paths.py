"""Paths that an artifact names, and files that are read from it: nothing outside its folder, no surprise errors."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import CorruptArtifactError, UnsafeArtifactError


def require_relative(path: str, origin: str) -> str:
    """The path, if it is relative and does not climb out of its folder.

    Args:
        origin: the file that names the path, for messages.

    Raises:
        UnsafeArtifactError: the path is absolute or holds ``..``.
        CorruptArtifactError: it is no path at all.
    """
    if not path or "\0" in path:
        raise CorruptArtifactError(f"{origin} names the file {path!r}, which is no path. Copy or export it again.")
    parts = PurePosixPath(path.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts:
        raise UnsafeArtifactError(
            f"{origin} names the file {path!r}, outside its folder. Only files inside the artifact are read; "
            "get the model from a source you trust."
        )
    return path


def require_inside(path: Path, folder: Path, origin: str) -> Path:
    """The path, if following its links ends inside ``folder``, or in the hub cache's store of the same repository.

    Raises:
        UnsafeArtifactError: a link leads out of the folder.
        CorruptArtifactError: the path cannot be followed.
    """
    try:
        target = path.resolve()
        allowed = [folder.resolve(), *_hub_stores(folder)]
    except (OSError, RuntimeError, ValueError) as error:
        raise CorruptArtifactError(f"{path} cannot be followed: {error}. Copy or export it again.") from error
    if not any(target.is_relative_to(root) for root in allowed):
        raise UnsafeArtifactError(
            f"{path}, which {origin} names, is a link to {target}, outside {folder}. Only files inside the artifact "
            "are read; copy the file itself into the folder."
        )
    return path


def _hub_stores(folder: Path) -> list[Path]:
    # The hub cache links models--org--name/snapshots/<revision>/<file> to models--org--name/blobs/<hash>. The folder
    # may itself be a link to a snapshot.
    parents = {*folder.absolute().parents, *folder.resolve().parents}
    repositories = [parent.parent for parent in parents if parent.name == "snapshots"]
    return [(repository / "blobs").resolve() for repository in repositories if repository.name.startswith("models--")]


def is_regular_file(path: Path) -> bool:
    """Whether a file is there, and no folder, device or pipe; a path the system cannot look up is not there."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CorruptArtifactError: the file is missing, unreadable or truncated, or is no JSON object.
    """
    if not is_regular_file(path):
        kind = "a folder" if path.is_dir() else "missing, a broken link or no regular file"
        raise CorruptArtifactError(f"{path} is {kind}; a JSON file was expected. Copy or export it again.")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CorruptArtifactError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error
    except (ValueError, RecursionError) as error:
        raise CorruptArtifactError(f"{path} is not readable JSON: {error}. Copy or export it again.") from error
    if not isinstance(data, dict):
        raise CorruptArtifactError(
            f"{path} holds a JSON {type(data).__name__}; an object was expected. Copy or export it again."
        )
    return data


def read_optional_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object, or None where there is no such file.

    Raises:
        CorruptArtifactError: as for :func:`read_json`; a broken link counts as a broken file, not as none.
    """
    try:
        is_there = path.is_symlink() or path.exists()
    except OSError as error:
        raise CorruptArtifactError(f"{path} cannot be read: {error.strerror}. Check the permissions.") from error
    return read_json(path) if is_there else None
