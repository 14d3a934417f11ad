"""The hub cache's layout on disk, filled without a hub."""

import hashlib
import os
import shutil
from pathlib import Path

from fake_hub import COMMIT


def fill_cache(cache: Path, repository: str, folder: Path, revision: str = "main", commit: str = COMMIT) -> Path:
    """Lay a folder out as the hub's cache does: files by hash, and a snapshot of links to them."""
    storage = cache / f"models--{repository.replace('/', '--')}"
    snapshot = storage / "snapshots" / commit
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            blob = storage / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
            blob.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, blob)
            link = snapshot / path.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(blob, link.parent))
    (storage / "refs").mkdir(exist_ok=True)
    (storage / "refs" / revision).write_text(commit)
    return snapshot
