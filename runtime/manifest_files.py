"""Whether the files that a manifest lists are there, and whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from .errors import ArtifactError, CorruptArtifactError
from .manifest import MANIFEST_FILE, FileEntry
from .safe_paths import is_regular_file, require_inside


def file_entry(folder: Path, path: Path) -> FileEntry:
    """Measure one file of ``folder``."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return FileEntry(path.relative_to(folder).as_posix(), path.stat().st_size, digest.hexdigest())


def require_whole(folder: Path, entries: Iterable[FileEntry]) -> None:
    """Check that files are there and have the size that the manifest says.

    Raises:
        CorruptArtifactError: a file is missing, or has another size.
        UnsafeArtifactError: a file lies outside the folder.
    """
    for entry in entries:
        path = require_inside(folder / entry.path, folder, MANIFEST_FILE)
        if not is_regular_file(path):
            raise CorruptArtifactError(
                f"{path} is in the manifest and not on disk, or is no file. Copy or export it again."
            )
        size_bytes = path.stat().st_size
        if size_bytes != entry.size_bytes:
            raise CorruptArtifactError(
                f"{path} has {size_bytes} bytes; the manifest says {entry.size_bytes}. Copy or export it again."
            )


def difference(folder: Path, entry: FileEntry, *, contents: bool) -> str | None:
    """What is wrong with a file, or None; ``contents`` compares its sha256 too."""
    try:
        require_whole(folder, [entry])
        if not contents:
            return None
        digest = file_entry(folder, folder / entry.path).sha256
    except ArtifactError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if digest == entry.sha256 else f"sha256 is {digest}; the manifest says {entry.sha256}"
