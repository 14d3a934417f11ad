"""Which layout a folder has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import export_json, files_by_name, genai
from .layout import Layout, ReadJson

# A settings file says more than file names do.
_READERS: tuple[Callable[[Sequence[str], ReadJson], Layout | None], ...] = (
    genai.read,
    export_json.read,
    files_by_name.read,
)


def read_layout(files: Sequence[str], read_json: ReadJson) -> Layout:
    """The layout of a folder that has no headway.json.

    Args:
        files: its ONNX files, relative to it with forward slashes.
        read_json: reads its settings files.

    Raises:
        CorruptArtifactError, UnsupportedFormatError, UnsafeArtifactError: a settings file cannot be used.
    """
    found = (reader(files, read_json) for reader in _READERS)
    return next((layout for layout in found if layout is not None), Layout("unknown", {}))
