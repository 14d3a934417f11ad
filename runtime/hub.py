"""Names to local folders, and local folders to the hub, through huggingface_hub."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .errors import ArtifactNotFoundError, HubError, InputTypeError, OptionError

logger = logging.getLogger("headway")

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")
_MAX_HUB_ID_LENGTH = 96
_MAX_SHOWN = 200
_PUSH_OPTIONS = frozenset(
    {"private", "token", "commit_message", "commit_description", "revision", "create_pr", "path_in_repo"}
)


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
        subfolder: the model's folder inside it.
        revision: branch, tag or commit on the hub.
        cache_dir: where downloads are kept; None takes huggingface_hub's place.
        local_files_only: take what was downloaded before; nothing is fetched (as with HF_HUB_OFFLINE=1).
        token: hub access token, or True for the one that is logged in.
        allow_patterns: files to download of a hub repository, relative to the subfolder; None takes all.

    Raises:
        ArtifactNotFoundError: neither a folder nor a hub repository that can be reached.
        InputTypeError: the name is neither text nor path.
    """
    folder = local_folder(name)
    if folder is None:
        patterns = _below(subfolder, allow_patterns)
        folder = _download(str(name), revision, cache_dir, local_files_only, token, patterns)
    folder = folder / subfolder if subfolder else folder
    if not folder.is_dir():
        raise ArtifactNotFoundError(f"{name} has no folder {subfolder!r}. Check subfolder=.")
    return folder


def repository_files(
    name: str,
    *,
    subfolder: str | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> list[str] | None:
    """Files of a hub repository, relative to the subfolder; None where it cannot be asked, and what is there counts."""
    if local_files_only:
        return None
    from huggingface_hub import HfApi

    try:
        files = HfApi().list_repo_files(name, revision=revision, token=token)
    except Exception as error:  # as in _download, which has already found what the cache holds
        logger.debug("%s cannot be listed: %s", name, error)
        return None
    prefix = f"{subfolder.strip('/')}/" if subfolder else ""
    return [file.removeprefix(prefix) for file in files if file.startswith(prefix)]


def local_folder(name: str | Path) -> Path | None:
    """The folder ``name`` on this machine, or None where it looks like a hub id.

    Raises:
        ArtifactNotFoundError: it is neither.
        InputTypeError: it is neither text nor path.
    """
    if not isinstance(name, (str, Path)):
        raise InputTypeError(f"The model is {name!r} ({type(name).__name__}); pass a folder or a hub id as text.")
    folder = Path(name).expanduser() if str(name).startswith("~") else Path(name)
    try:
        if str(name) and folder.is_dir():
            return folder
        is_file = folder.exists()
    except OSError:
        is_file = False
    if is_file or len(str(name)) > _MAX_HUB_ID_LENGTH or not _HUB_ID.match(str(name)):
        what = "is a file, not a folder" if is_file and str(name) else "is neither a folder nor a hub id"
        shown = str(name) if len(str(name)) <= _MAX_SHOWN else f"{str(name)[:_MAX_SHOWN]}…"
        raise ArtifactNotFoundError(f"{shown!r} {what}. Pass an exported folder, or a hub id such as 'org/model'.")
    return None


def _below(subfolder: str | None, patterns: Iterable[str] | None) -> list[str] | None:
    if patterns is None:
        return [f"{subfolder}/*"] if subfolder else None
    return [f"{subfolder}/{pattern}" if subfolder else pattern for pattern in patterns]


def _download(
    name: str,
    revision: str | None,
    cache_dir: str | Path | None,
    local_files_only: bool,
    token: str | bool | None,
    allow_patterns: list[str] | None,
) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
                token=token,
                allow_patterns=allow_patterns,
            )
        )
    except Exception as error:  # of huggingface_hub, its HTTP client, or the system: they share no base
        raise ArtifactNotFoundError(
            f"{name!r} is not a local folder, and fetching it from the hub failed: {_first_line(error)} "
            "Check the name, the revision, the network, and the token."
        ) from error


def push_folder(folder: str | Path, repo_id: str, files: Iterable[Path] | None = None, **options: Any) -> str:
    """Upload a folder to the hub repository ``repo_id``, made if need be, and return the commit's address.

    Args:
        files: the files of ``folder`` to upload; None uploads all.
        options: ``private``, ``token``, ``commit_message``, ``commit_description``, ``revision``, ``create_pr``,
            ``path_in_repo``, as in huggingface_hub.

    Raises:
        HubError: the hub cannot be reached, or refuses.
        OptionError: an option is unknown.
    """
    unknown = set(options) - _PUSH_OPTIONS
    if unknown:
        raise OptionError(
            f"push_to_hub has no option {', '.join(sorted(unknown))}; it has {', '.join(sorted(_PUSH_OPTIONS))}."
        )
    from huggingface_hub import HfApi

    api = HfApi(token=options.pop("token", None))
    private = options.pop("private", None)
    patterns = None if files is None else [literal_pattern(path.relative_to(folder).as_posix()) for path in files]
    try:
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        commit = api.upload_folder(repo_id=repo_id, folder_path=str(folder), allow_patterns=patterns, **options)
    except Exception as error:  # as above
        raise HubError(
            f"Pushing {folder} to {repo_id!r} failed: {_first_line(error)} "
            "Check the name, the network, and that the token may write there."
        ) from error
    return str(commit)


def literal_pattern(path: str) -> str:
    """A pattern of ``fnmatch`` that matches this path only."""
    return re.sub(r"([*?[])", r"[\1]", path)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".") + "."
