"""From a name to an opened artifact: a local folder, or what a load needs of a hub repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from .artifact import METADATA_PATTERNS, ONNX_FOLDER, Artifact
from .checkpoint_cache import export_once
from .errors import ArtifactNotFoundError, NotExportedError
from .hub import literal_pattern, local_folder, repository_files, resolve_folder
from .onnx_file import external_locations
from .providers import computing_precision
from .session import SessionOptions
from .tuning.loading import tuned_load
from .wanted_files import wanted_files

_CONFIG = "config.json"


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
    hub = _above_graphs(name, hub)
    folder = resolve_folder(name, **asdict(hub)) if is_local else _fetch(str(name), hub, dtype, file_name)
    if is_local and _only_graphs(folder):
        folder = folder.parent
    try:
        return Artifact(folder)
    except NotExportedError:
        if not export:
            raise
        return Artifact(export_once(folder, task, dtype=dtype, cache_dir=hub.cache_dir))
    except ArtifactNotFoundError as error:
        # Of a repository only metadata and graphs were asked for: a config alone is a PyTorch checkpoint.
        if is_local or not (folder / _CONFIG).is_file():
            raise
        if not export:
            raise NotExportedError(
                f"{name} on the hub holds no ONNX file. Export it once with `headway export {name} OUT`, "
                "or pass export=True (needs the [export] extra)."
            ) from error
        return Artifact(export_once(folder, task, dtype=dtype, cache_dir=hub.cache_dir, hub_id=str(name), hub=hub))


def open_to_run(
    name: str | Path,
    hub: HubOptions,
    options: SessionOptions,
    *,
    dtype: str | None,
    file_name: str | None,
    task: str | None,
    export: bool,
    tuned: bool,
) -> tuple[Artifact, str | None, SessionOptions]:
    """An artifact, and the precision and session options that it is loaded with; see :func:`open_artifact`.

    Args:
        options: what the caller chose for the session.
        tuned: take what the caller left open from what ``headway tune`` measured.

    Raises:
        OptionError: the precision is OpenVINO's, and the device another.
    """
    dtype, precision = computing_precision(dtype)
    artifact = open_artifact(name, hub, dtype=dtype, file_name=file_name, task=task, export=export)
    options = replace(options, precision=precision)
    if tuned:
        dtype, options = tuned_load(artifact, dtype, file_name, options)
    return artifact, dtype, options


def _above_graphs(name: str | Path, hub: HubOptions) -> HubOptions:
    """Where a model lies of which ``subfolder="onnx"`` names the graphs, as optimum asks for them: one folder up."""
    parts = PurePosixPath(hub.subfolder or "").parts
    if parts[-1:] != (ONNX_FOLDER,):
        return hub
    above = replace(hub, subfolder="/".join(parts[:-1]) or None)
    folder = resolve_folder(name, **asdict(above), allow_patterns=METADATA_PATTERNS)
    return above if (folder / _CONFIG).is_file() and not (folder / ONNX_FOLDER / _CONFIG).is_file() else hub


def _only_graphs(folder: Path) -> bool:
    """Whether a folder is the one of a model's graphs, whose config and tokenizer lie beside it."""
    return folder.name == ONNX_FOLDER and not (folder / _CONFIG).is_file() and (folder.parent / _CONFIG).is_file()


def _fetch(name: str, hub: HubOptions, dtype: str | None, file_name: str | None) -> Path:
    """Download configs and tokenizer first: they and the repository's list say which files the precision needs."""
    folder = resolve_folder(name, **asdict(hub), allow_patterns=METADATA_PATTERNS)
    files = repository_files(name, **asdict(hub))
    if files is None:
        return folder
    wanted = wanted_files(folder, files, dtype, file_name)
    folder = resolve_folder(name, **asdict(hub), allow_patterns=[*METADATA_PATTERNS, *map(literal_pattern, wanted)])
    # Weights beside a graph under a name that no convention has: the graph says it.
    missing = [file for graph in wanted if graph.endswith(".onnx") for file in _missing_data(folder, graph, files)]
    if missing:
        resolve_folder(name, **asdict(hub), allow_patterns=[*METADATA_PATTERNS, *map(literal_pattern, missing)])
    return folder


def _missing_data(folder: Path, graph: str, files: Sequence[str]) -> list[str]:
    parent = PurePosixPath(graph).parent
    needed = [(parent / location).as_posix() for location in external_locations(folder / graph)]
    return [file for file in needed if file in files and not (folder / file).exists()]
