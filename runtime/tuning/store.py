"""Where tuning records lie: in the artifact's manifest, or in the user's cache where that cannot be written."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..artifact import Artifact, write_manifest
from ..errors import HeadwayError
from ..safe_paths import read_optional_json
from ..typed_json import JsonTypeError
from .fingerprint import Fingerprint
from .setup import TuningRecord

logger = logging.getLogger("headway")


def has_records(artifact: Artifact) -> bool:
    """Whether there is a record of any machine: quick, for loads of what was never tuned."""
    try:
        return bool(artifact.manifest and artifact.manifest.tuned) or _cache_file(artifact).is_file()
    except (OSError, RuntimeError):
        return False


def find_record(artifact: Artifact, machine: Fingerprint) -> TuningRecord | None:
    """The record of an artifact on a machine: the user's own before the one that came with the folder."""
    for records in (_cached(artifact), artifact.manifest.tuned if artifact.manifest else {}):
        if machine.key not in records:
            continue
        try:
            return TuningRecord.from_dict(records[machine.key], f"tuned.{machine.key}")
        except JsonTypeError as error:
            logger.warning("%s has a tuning record that cannot be used: %s. Run `headway tune`.", artifact, error)
    return None


def keep_record(artifact: Artifact, machine: Fingerprint, record: TuningRecord | None) -> Path:
    """Write a record, or take the machine's away for None.

    Returns:
        The file that was written: the manifest, or one in the user's cache.

    Raises:
        OSError: neither can be written.
    """
    if artifact.manifest is not None:
        try:
            path = _write_into_manifest(artifact, machine, record)
        except OSError as error:
            logger.info("%s cannot be written (%s): the record goes to the user's cache", artifact.folder, error)
        else:
            _write_into_cache(artifact, machine, None)
            return path
    return _write_into_cache(artifact, machine, record)


def _write_into_manifest(artifact: Artifact, machine: Fingerprint, record: TuningRecord | None) -> Path:
    # Read again: another tuning may have written since the artifact was opened.
    manifest = Artifact(artifact.folder).manifest
    if manifest is None:
        raise FileNotFoundError(f"{artifact.folder} has no manifest any more")
    changed = replace(manifest, tuned=_changed(manifest.tuned, machine, record))
    with tempfile.TemporaryDirectory(prefix=".tuning-", dir=artifact.folder) as staging:
        written = write_manifest(Path(staging), changed)
        target = artifact.folder / written.name
        written.chmod(target.stat().st_mode)
        written.replace(target)
    return target


def _write_into_cache(artifact: Artifact, machine: Fingerprint, record: TuningRecord | None) -> Path:
    path = _cache_file(artifact)
    records = _changed(_cached(artifact), machine, record)
    if not records:
        path.unlink(missing_ok=True)
        return path
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staging = path.with_suffix(f".{os.getpid()}.tmp")
    staging.write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")
    staging.replace(path)
    return path


def _changed(records: Mapping[str, Any], machine: Fingerprint, record: TuningRecord | None) -> dict[str, Any]:
    others = {key: value for key, value in records.items() if key != machine.key}
    return others if record is None else {**others, machine.key: record.to_dict()}


def _cached(artifact: Artifact) -> Mapping[str, Any]:
    try:
        return read_optional_json(_cache_file(artifact)) or {}
    except (HeadwayError, OSError, RuntimeError) as error:
        logger.debug("The tuning cache cannot be read: %s", error)
        return {}


def _cache_file(artifact: Artifact) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "headway" / "tuning" / f"{_identity(artifact)}.json"


def _identity(artifact: Artifact) -> str:
    """A digest of the graphs: by content where the manifest says it, else by name, size and time."""
    if artifact.manifest is not None:
        variants = artifact.manifest.variants.values()
        states: list[Any] = sorted({entry.sha256 for variant in variants for entry in variant.files})
    else:
        files = [(str(path.resolve()), path.stat()) for path in artifact.graph_files()]
        states = [[name, state.st_size, state.st_mtime_ns] for name, state in files]
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()[:32]
