"""The folder contract: which file of an exported artifact is which, and whether what is there can be used.

This, ``manifest.py`` and ``layouts`` are the only places that know file names and the manifest's layout; the exporter
writes through them and everything else reads through them. File names follow the transformers.js / onnx-community
convention; folders that others wrote are read by their own (see :mod:`.layouts`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import ArtifactNotFoundError, NotExportedError
from .layouts import Layout, read_layout
from .layouts.dtypes import DTYPE_ALIASES, DTYPE_SUFFIXES, canonical_dtype, chosen_dtype, split_dtype
from .layouts.files_by_name import ONNX_FOLDER
from .layouts.tasks import task_of_config, task_of_graphs
from .manifest import (
    FORMAT_VERSION,
    MANIFEST_FILE,
    Component,
    FileEntry,
    Manifest,
    TensorSpec,
    Variant,
    write_manifest,
)
from .manifest_files import difference, file_entry, require_whole
from .onnx_file import graph_values
from .safe_paths import is_regular_file, read_json, read_optional_json, require_inside, require_relative
from .weight_precision import weight_precision

__all__ = [
    "DTYPE_ALIASES",
    "DTYPE_SUFFIXES",
    "EXTERNAL_DATA_THRESHOLD_BYTES",
    "FORMAT_VERSION",
    "MANIFEST_FILE",
    "MAPPED_DATA_THRESHOLD_BYTES",
    "METADATA_PATTERNS",
    "ONNX_FOLDER",
    "Artifact",
    "Component",
    "FileEntry",
    "Manifest",
    "TensorSpec",
    "Variant",
    "canonical_dtype",
    "file_entry",
    "onnx_file_name",
    "read_json",
    "split_dtype",
    "write_manifest",
]

EXTERNAL_DATA_THRESHOLD_BYTES = 1 << 30
MAPPED_DATA_THRESHOLD_BYTES = 128 << 20
"""The same for a graph that reads its weights in place: only a file beside the graph can be mapped into memory."""

_UNNAMED_DTYPE = "fp32"

PYTORCH_WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin", "*.gguf", "model*.pt")

METADATA_PATTERNS = ("*.json", "*.txt", "*.jinja", "*.model", "*_Dense/*")
"""What a hub repository holds beside its graphs: all of it is small."""


def onnx_file_name(component: str, dtype: str) -> str:
    """Path of a graph inside the artifact, such as ``onnx/model_fp16.onnx``."""
    return f"{ONNX_FOLDER}/{component}{DTYPE_SUFFIXES[dtype]}.onnx"


class Artifact:
    """An artifact folder opened for reading.

    Args:
        folder: a local folder; it must exist.

    Raises:
        ArtifactNotFoundError: the folder does not exist, or holds no ONNX file.
        NotExportedError: it holds PyTorch weights and no ONNX file.
        CorruptArtifactError, UnsupportedFormatError, UnsafeArtifactError: its manifest or config cannot be used.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ArtifactNotFoundError(f"{self.folder} is not a folder. Pass an exported folder or a hub id.")
        manifest_path = self.folder / MANIFEST_FILE
        values = read_optional_json(manifest_path)
        self.manifest = None if values is None else Manifest.from_dict(values, origin=str(manifest_path))
        config = read_optional_json(self.folder / "config.json") or {}
        self.layout = None if self.manifest else read_layout(self._relative_graph_files(), self._read_json)
        self.config: dict[str, Any] = {**config, **self.layout.config} if self.layout else config
        self._require_onnx()

    def __repr__(self) -> str:
        return f"Artifact({str(self.folder)!r}, variants={list(self.variants)})"

    @property
    def task(self) -> str | None:
        """The task it was exported for, or None for a folder without a manifest."""
        return self.manifest.task if self.manifest else None

    @property
    def likely_task(self) -> str | None:
        """The task; without a manifest the one that the config's architecture and the graph suggest, or None."""
        if self.manifest or self.layout is None:
            return self.task
        return self.layout.task or self._task_of_graphs(self.layout)

    def _task_of_graphs(self, layout: Layout) -> str | None:
        said = task_of_config(self.config)
        files = next(iter(layout.variants.values()), {})
        first = files.get("encoder_model") or next(iter(files.values()), None)
        return task_of_graphs(files, *graph_values(self._inside(first)), said) if first else said

    @property
    def max_length(self) -> int | None:
        """Longest input in tokens, or None where there is no fixed limit."""
        return self.manifest.max_length if self.manifest else None

    @property
    def variants(self) -> tuple[str, ...]:
        """Precisions that are there."""
        return tuple(self.manifest.variants if self.manifest else self._layout.variants)

    def chosen_dtype(self, dtype: str | None = None) -> str:
        """``dtype`` by its own name, or the precision that is taken where none is asked for."""
        chosen = chosen_dtype(canonical_dtype(dtype), self.variants, self.config)
        return _UNNAMED_DTYPE if chosen not in self.variants and chosen == self._unnamed_precision() else chosen

    def _unnamed_precision(self) -> str | None:
        """What the graphs whose names say no precision keep their weights in: they stand for fp32, whatever it is."""
        files = self.layout.variants.get(_UNNAMED_DTYPE, {}) if self.layout else {}
        paths = [path for path in map(self._inside, files.values()) if is_regular_file(path)]
        precisions = {weight_precision(path) for path in paths}
        return precisions.pop() if len(precisions) == 1 else None

    def components(self, dtype: str | None = None) -> dict[str, Path]:
        """Graphs of one precision by name → their files, whole and inside the folder.

        Raises:
            ArtifactNotFoundError: there is no such variant; the message lists what there is.
            CorruptArtifactError: a file is missing, or has another size than the manifest says.
            UnsafeArtifactError: a file lies outside the folder.
        """
        dtype = self.chosen_dtype(dtype)
        if self.manifest:
            variant = self._manifest_variant(self.manifest, dtype)
            require_whole(self.folder, variant.files)
            return {name: self.folder / component.file for name, component in variant.components.items()}
        files = self._layout.variants.get(dtype, {})
        return {name: self._inside(file) for name, file in files.items()}

    def model_file(self, component: str = "model", dtype: str | None = None, file_name: str | None = None) -> Path:
        """Path of one graph.

        Args:
            component: ``"model"``, ``"encoder_model"``, ``"decoder_model"``, or what another tool calls it.
            dtype: a key of :data:`DTYPE_SUFFIXES`; None takes fp32, or the first there is.
            file_name: an explicit file, relative to the folder or to its ``onnx`` folder.

        Raises:
            ArtifactNotFoundError: there is no such file or variant; the message lists what there is.
            CorruptArtifactError: a file is missing, or has another size than the manifest says.
            UnsafeArtifactError: a file lies outside the folder.
        """
        if file_name is not None:
            return self._explicit_file(file_name)
        dtype = self.chosen_dtype(dtype)
        if self.manifest:
            self._require_component(self._manifest_variant(self.manifest, dtype), component, dtype)
        path = self.components(dtype).get(component)
        if path is None:
            raise ArtifactNotFoundError(
                f"{self.folder} has no {component} in {dtype}; it has {self._onnx_files()}. "
                "Pass dtype= or file_name= for one of these."
            )
        return path

    def changed_files(self, *, contents: bool = True) -> dict[str, str]:
        """Files that no longer match the manifest → what is wrong.

        Args:
            contents: read every file and compare its sha256; False only looks at sizes.
        """
        entries = {entry.path: entry for variant in self._listed_variants() for entry in variant.files}
        found = {path: difference(self.folder, entry, contents=contents) for path, entry in entries.items()}
        return {path: text for path, text in found.items() if text}

    def graph_files(self) -> Iterator[Path]:
        """ONNX files of the folder and of the folders in it, whether or not the manifest lists them."""
        # Two levels, not the whole tree: somebody will pass "/" or a home folder.
        yield from sorted(path for pattern in ("*.onnx", "*/*.onnx") for path in self.folder.glob(pattern))

    def own_files(self) -> Iterator[Path]:
        """Files that make up the artifact, for copying it: all in the folder but hidden ones and PyTorch weights.

        Raises:
            UnsafeArtifactError: one is a link to a file outside, which must not be copied or uploaded.
        """
        for path in sorted(self.folder.rglob("*")):
            relative = path.relative_to(self.folder)
            hidden = any(part.startswith(".") for part in relative.parts)
            weights = len(relative.parts) == 1 and any(path.match(pattern) for pattern in PYTORCH_WEIGHT_PATTERNS)
            if not hidden and not weights and is_regular_file(path):
                yield require_inside(path, self.folder, "the artifact")

    def _explicit_file(self, file_name: str) -> Path:
        require_relative(file_name, "file_name=")
        for path in (self.folder / file_name, self.folder / ONNX_FOLDER / file_name):
            if is_regular_file(path):
                return require_inside(path, self.folder, "file_name=")
        raise ArtifactNotFoundError(
            f"{self.folder} has no {file_name}; it has {self._onnx_files()}. Pass one of these as file_name=."
        )

    def _manifest_variant(self, manifest: Manifest, dtype: str) -> Variant:
        variant = manifest.variants.get(dtype)
        if variant is None:
            raise ArtifactNotFoundError(
                f"{self.folder} has no variant {dtype!r}; it has {', '.join(self.variants)}. "
                f"Pass one of these as dtype=, or export again with --dtype {dtype}."
            )
        return variant

    def _require_component(self, variant: Variant, component: str, dtype: str) -> None:
        if component not in variant.components:
            raise ArtifactNotFoundError(
                f"{self.folder} has no graph {component!r} in {dtype}; it has {', '.join(variant.components)}. "
                "Load it with the class of its task, or export it for this one."
            )

    @property
    def _layout(self) -> Layout:
        return self.layout or Layout("headway", {})

    def _inside(self, file: str) -> Path:
        return require_inside(self.folder / file, self.folder, "the folder's layout")

    def _read_json(self, file: str) -> dict[str, Any] | None:
        return read_optional_json(self.folder / file)

    def _relative_graph_files(self) -> list[str]:
        return [path.relative_to(self.folder).as_posix() for path in self.graph_files()]

    def _listed_variants(self) -> tuple[Variant, ...]:
        return tuple(self.manifest.variants.values()) if self.manifest else ()

    def _onnx_files(self) -> str:
        return ", ".join(sorted(self._relative_graph_files())) or "no ONNX file"

    def _require_onnx(self) -> None:
        if self.manifest or any(self.graph_files()):
            return
        if any(path for pattern in PYTORCH_WEIGHT_PATTERNS for path in self.folder.glob(pattern)):
            raise NotExportedError(
                f"{self.folder} holds PyTorch weights and no ONNX file. Export it once with "
                f"`headway export {self.folder} OUT`, or pass export=True (needs the [export] extra)."
            )
        raise ArtifactNotFoundError(
            f"{self.folder} holds no {MANIFEST_FILE} and no ONNX file. Pass a folder written by `headway export`."
        )
