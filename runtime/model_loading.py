"""From a name to an opened artifact: a local folder, or what a load needs of a hub repository."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from .artifact import METADATA_PATTERNS, Artifact, graph_patterns
from .checkpoint_cache import export_once
from .errors import ArtifactNotFoundError, NotExportedError
from .hub import local_folder, resolve_folder
from .manifest import MANIFEST_FILE, Manifest
from .safe_paths import read_optional_json


@dataclass(frozen=True)
class HubOptions:
    """Where on the hub, and how to get there; see :func:`headway.runtime.hub.resolve_folder`."""

    subfolder: str | None = None
    revision: str | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False
    token: str | bool | None = None


def open_artifact(
    name: str | Path,
    hub: HubOptions,
    *,
    dtype: str | None = None,
    file_name: str | None = None,
    task: str | None = None,
    export: bool = False,
) -> Artifact:
    """Open a local folder, or download what one precision needs and open that.

    Args:
        name: a folder or a hub id.
        dtype: the precision that will be loaded; None takes fp32, or the first there is.
        file_name: the ONNX file that will be loaded, in place of a precision's.
        task: the task a PyTorch checkpoint is exported for; None infers it.
        export: export a PyTorch checkpoint once and open the result.

    Raises:
        ArtifactNotFoundError, NotExportedError, CorruptArtifactError, UnsupportedFormatError, UnsafeArtifactError:
            the folder cannot be used.
    """
    is_local = local_folder(name) is not None
    folder = resolve_folder(name, **asdict(hub)) if is_local else _fetch(str(name), hub, dtype, file_name)
    try:
        return Artifact(folder)
    except NotExportedError:
        if not export:
            raise
        return Artifact(export_once(folder, task, dtype=dtype, cache_dir=hub.cache_dir))
    except ArtifactNotFoundError as error:
        # Of a repository only metadata and graphs were asked for: a config alone is a PyTorch checkpoint.
        if is_local or not (folder / "config.json").is_file():
            raise
        if not export:
            raise NotExportedError(
                f"{name} on the hub holds no ONNX file. Export it once with `headway export {name} OUT`, "
                "or pass export=True (needs the [export] extra)."
            ) from error
        return Artifact(export_once(folder, task, dtype=dtype, cache_dir=hub.cache_dir, hub_id=str(name), hub=hub))


def _fetch(name: str, hub: HubOptions, dtype: str | None, file_name: str | None) -> Path:
    """Download configs and tokenizer first: the manifest among them says which files the precision needs."""
    folder = resolve_folder(name, **asdict(hub), allow_patterns=METADATA_PATTERNS)
    manifest_path = folder / MANIFEST_FILE
    values = read_optional_json(manifest_path)
    manifest = None if values is None else Manifest.from_dict(values, origin=str(manifest_path))
    patterns = graph_patterns(manifest, dtype, file_name)
    return resolve_folder(name, **asdict(hub), allow_patterns=[*METADATA_PATTERNS, *patterns])
