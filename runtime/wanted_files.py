"""Which files of a hub repository a load needs, from its list of names and the configs that are there already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .layouts import read_layout
from .layouts.dtypes import chosen_dtype, split_dtype
from .layouts.files_by_name import ONNX_FOLDER
from .manifest import MANIFEST_FILE, Manifest
from .safe_paths import read_optional_json

# A merged decoder holds what these two hold.
_MERGED, _MERGED_PARTS = "decoder_model_merged", ("decoder_model", "decoder_with_past_model")

# Weights beside `model.onnx` by the two conventions: `model.onnx_data`, also in numbered chunks, and `model.onnx.data`.
_DATA_ENDINGS = ("_data", ".data")


def wanted_files(folder: Path, files: Sequence[str], dtype: str | None, file_name: str | None) -> list[str]:
    """Graphs of a repository that a load needs, with their weights.

    Args:
        folder: where its configs lie.
        files: all of its files, relative to the folder.
        dtype: the precision, or two of them joined; None takes fp32, or the first there is.
        file_name: the ONNX file that will be loaded, in place of a precision's.

    Returns:
        Names out of ``files``; none where it has no such precision.

    Raises:
        CorruptArtifactError, UnsupportedFormatError, UnsafeArtifactError: a config cannot be used.
    """
    if file_name is not None:
        return _with_data([file for file in files if file in (file_name, f"{ONNX_FOLDER}/{file_name}")], files)
    values = read_optional_json(folder / MANIFEST_FILE)
    if values is not None:
        variants = Manifest.from_dict(values, origin=str(folder / MANIFEST_FILE)).variants
        chosen = [variants.get(chosen_dtype(part, tuple(variants), {})) for part in split_dtype(dtype)]
        return [entry.path for variant in chosen if variant for entry in variant.files]

    def read_json(file: str) -> dict[str, Any] | None:
        return read_optional_json(folder / file)

    layout = read_layout([file for file in files if file.endswith(".onnx")], read_json)
    config = read_json("config.json") or {}
    graphs: list[str] = []
    for part in split_dtype(dtype):
        found = layout.variants.get(chosen_dtype(part, tuple(layout.variants), config), {})
        graphs += [file for name, file in found.items() if _MERGED not in found or name not in _MERGED_PARTS]
    return _with_data(graphs, files)


def _with_data(graphs: Sequence[str], files: Sequence[str]) -> list[str]:
    return [file for file in files if any(_belongs(file, graph) for graph in graphs)]


def _belongs(file: str, graph: str) -> bool:
    return file == graph or (file.startswith(graph) and file.removeprefix(graph).startswith(_DATA_ENDINGS))
