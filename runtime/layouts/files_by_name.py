"""Folders whose file names say it all: optimum, transformers.js and onnx-community, sentence-transformers, a lone file.

``{graph}{suffix}.onnx`` in the folder or in its ``onnx`` folder. Sources: optimum-onnx 0.1 (``ONNX_WEIGHTS_NAME`` and
its kin), transformers.js 4.2 (``DEFAULT_DTYPE_SUFFIX_MAPPING``, sessions by model type), sentence-transformers
(``backend.export_*_onnx_model``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from .dtypes import dtype_names
from .layout import Layout, ReadJson

ONNX_FOLDER = "onnx"

GRAPHS = (
    "model",
    "encoder_model",
    "decoder_model",
    "decoder_model_merged",
    "decoder_with_past_model",
    "embed_tokens",
    "vision_encoder",
    "audio_encoder",
    "text_encoder",
    "text_model",
    "vision_model",
    "prompt_encoder_mask_decoder",
    "prepare_inputs_embeds",
    "language_model",
    "lm_head",
)
"""Graphs of the conventions, by the beginning of their file's name."""

# What lone tools call the two halves of an encoder-decoder.
_OTHER_NAMES: Mapping[str, str] = {
    "encoder": "encoder_model",
    "decoder": "decoder_model",
    "decoder_with_past": "decoder_with_past_model",
}

_LONGEST_FIRST = sorted(GRAPHS, key=len, reverse=True)


def read(files: Sequence[str], read_json: ReadJson) -> Layout | None:
    """The layout of any folder with ONNX files; what their names do not say is left for ``file_name=``."""
    found: dict[str, dict[str, str]] = {}  # suffix → graph → file
    for file in _by_place(files):
        graph, suffix = _parts(PurePosixPath(file).stem)
        if graph is not None:
            found.setdefault(suffix, {}).setdefault(graph, file)
    if not found:
        lone = [file for file in files if file.endswith(".onnx")]
        found = {"": {"model": lone[0]}} if len(lone) == 1 else {}
    names = dtype_names(list(found))
    return Layout("file names of optimum and transformers.js", {name: found[suffix] for suffix, name in names.items()})


def _by_place(files: Sequence[str]) -> list[str]:
    """ONNX files in the ``onnx`` folder, then those beside the config; deeper ones are another model's."""
    places = {ONNX_FOLDER: 0, ".": 1}
    graphs = [file for file in sorted(files) if file.endswith(".onnx")]
    kept = [file for file in graphs if PurePosixPath(file).parent.as_posix() in places]
    return sorted(kept, key=lambda file: places[PurePosixPath(file).parent.as_posix()])


def _parts(stem: str) -> tuple[str | None, str]:
    """A file name's graph and suffix, such as ``decoder_model_merged`` and ``q4f16``."""
    if stem in _OTHER_NAMES:
        return _OTHER_NAMES[stem], ""
    for graph in _LONGEST_FIRST:
        if stem == graph:
            return graph, ""
        if stem.startswith(f"{graph}_"):
            return graph, stem.removeprefix(f"{graph}_")
    return None, ""
