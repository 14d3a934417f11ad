"""Folders that transformers 5's own exporter writes: ``export.json`` names each component's file.

Source: ``transformers.exporters.base`` of transformers 5.23 (``EXPORT_MANIFEST_FILE``, schema 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import CorruptArtifactError, UnsupportedFormatError
from ..safe_paths import require_relative
from .dtypes import canonical_dtype
from .layout import Layout, ReadJson

EXPORT_FILE = "export.json"

_SCHEMA_VERSION = 1


def read(files: Sequence[str], read_json: ReadJson) -> Layout | None:
    """The layout of a folder with an ``export.json``, or None where there is none.

    Raises:
        UnsupportedFormatError: it was exported for another runtime, or by a newer transformers.
        CorruptArtifactError: the file is not what the exporter writes.
    """
    values = read_json(EXPORT_FILE)
    if values is None:
        return None
    if values.get("export_format") != "onnx" or values.get("schema_version", 1) > _SCHEMA_VERSION:
        raise UnsupportedFormatError(
            f"{EXPORT_FILE} says format {values.get('export_format')!r}, schema {values.get('schema_version')!r}; "
            f"'onnx' and up to {_SCHEMA_VERSION} can be run. Export the model again with OnnxExporter."
        )
    components = _components(values.get("components"))
    graphs = {name: require_relative(str(entry["file"]), EXPORT_FILE) for name, entry in components.items()}
    metadata = next(iter(components.values())).get("metadata")
    dtype = metadata.get("export_dtype") if isinstance(metadata, Mapping) else None
    return Layout("transformers exporter", {canonical_dtype(dtype) or "fp32": graphs})


def _components(values: Any) -> Mapping[str, Mapping[str, Any]]:
    if isinstance(values, Mapping) and values:
        entries = values.values()
        if all(isinstance(entry, Mapping) and isinstance(entry.get("file"), str) for entry in entries):
            return values
    raise CorruptArtifactError(
        f"{EXPORT_FILE} has the components {str(values)[:80]}; an object of names, each with a file, was expected. "
        "Copy or export it again."
    )
