"""Names to local folders, and local folders to the hub, through huggingface_hub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import ArtifactNotFoundError

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")


def resolve_folder(
    name: str | Path,
    *,
    subfolder: str | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    allow_patterns: Sequence[str] | None = None,
) -> Path:
    """Local folder of a model: the folder itself, or the hub cache's snapshot of a hub id.

    Args:
        name: a folder, or a hub id such as ``"org/model"``.
        allow_patterns: files to download of a hub repository; None takes all.

    Raises:
        ArtifactNotFoundError: neither a folder nor a hub repository that can be reached.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _download(str(name), revision, cache_dir, local_files_only, token, allow_patterns, subfolder)
    folder = folder / subfolder if subfolder else folder
    if not folder.is_dir():
        raise ArtifactNotFoundError(f"{name} has no folder {subfolder!r}.")
    return folder


def _download(
    name: str,
    revision: str | None,
    cache_dir: str | Path | None,
    local_files_only: bool,
    token: str | bool | None,
    allow_patterns: Sequence[str] | None,
    subfolder: str | None,
) -> Path:
    if not _HUB_ID.match(name) or Path(name).exists():
        raise ArtifactNotFoundError(f"{name!r} is neither a folder nor a hub id such as 'org/model'.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if allow_patterns is not None and subfolder:
        allow_patterns = [f"{subfolder}/{pattern}" for pattern in allow_patterns]
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
                token=token,
                allow_patterns=list(allow_patterns) if allow_patterns is not None else None,
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ArtifactNotFoundError(
            f"{name!r} is not a local folder, and fetching it from the hub failed: {str(error).splitlines()[0]} "
            "Check the name, the network, and the token."
        ) from error


def push_folder(folder: str | Path, repo_id: str, **options: Any) -> str:
    """Upload ``folder`` to the hub repository ``repo_id`` and return the commit's address.

    Options ``private``, ``token``, ``commit_message`` and ``revision`` are huggingface_hub's.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=options.pop("token", None))
    api.create_repo(repo_id, private=options.pop("private", None), exist_ok=True)
    return str(api.upload_folder(repo_id=repo_id, folder_path=str(folder), **options))
