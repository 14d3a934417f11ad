"""The folder contract: which file of an exported artifact is which, and whether what is there can be used.

This and ``manifest.py`` are the only places that know file names and the manifest's layout; the exporter writes through
them and everything else reads through them. File names follow the transformers.js / onnx-community convention.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import ArtifactError, ArtifactNotFoundError, CorruptArtifactError, NotExportedError
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
from .safe_paths import is_regular_file, read_json, read_optional_json, require_inside, require_relative

__all__ = [
    "DTYPE_ALIASES",
    "DTYPE_SUFFIXES",
    "EXTERNAL_DATA_THRESHOLD_BYTES",
    "FORMAT_VERSION",
    "MANIFEST_FILE",
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
    "graph_patterns",
    "onnx_file_name",
    "read_json",
    "split_dtype",
    "write_manifest",
]

ONNX_FOLDER = "onnx"
EXTERNAL_DATA_THRESHOLD_BYTES = 1 << 30

DTYPE_SUFFIXES: Mapping[str, str] = {
    "fp32": "",
    "fp16": "_fp16",
    "int8": "_quantized",
    "q8": "_q8",
    "q4": "_q4",
    "q4f16": "_q4f16",
    "uint8": "_uint8",
    "bnb4": "_bnb4",
}
"""Precision → suffix of the ONNX file name, as transformers.js names them."""

DTYPE_ALIASES: Mapping[str, str | None] = {
    "auto": None,
    "float32": "fp32",
    "float": "fp32",
    "float16": "fp16",
    "half": "fp16",
    "quantized": "int8",
}
"""What transformers and PyTorch call a precision → its name here."""

PYTORCH_WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin", "*.gguf", "model*.pt")

METADATA_PATTERNS = ("*.json", "*.txt", "*.jinja", "*.model", "*_Dense/*")
"""What a hub repository holds beside its graphs: all of it is small."""

_CONVENTIONAL_GRAPHS = (
    "model",
    "encoder_model",
    "decoder_model",
    "decoder_model_merged",
    "decoder_with_past_model",
)

# The architecture's ending → the task, for folders that other tools wrote without a manifest.
_TASKS_BY_ARCHITECTURE: Mapping[str, str] = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "ForMultipleChoice": "multiple-choice",
    "ForNextSentencePrediction": "next-sentence-prediction",
    "ForImageClassification": "image-classification",
    "ForAudioClassification": "audio-classification",
    "ForCTC": "automatic-speech-recognition",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForConditionalGeneration": "text2text-generation",
    "Model": "feature-extraction",
}


def onnx_file_name(component: str, dtype: str) -> str:
    """Path of a graph inside the artifact, such as ``onnx/model_fp16.onnx``."""
    return f"{ONNX_FOLDER}/{component}{DTYPE_SUFFIXES[dtype]}.onnx"


def file_entry(folder: Path, path: Path) -> FileEntry:
    """Measure one file of ``folder``."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return FileEntry(path.relative_to(folder).as_posix(), path.stat().st_size, digest.hexdigest())


def graph_patterns(manifest: Manifest | None, dtype: str | None, file_name: str | None) -> list[str]:
    """Which files of a hub repository a load needs beside :data:`METADATA_PATTERNS`, as glob patterns.

    A manifest lists them; without one the file names of the convention are asked for.
    """
    if file_name is not None:
        # The star also takes model.onnx_data and model.onnx.data.
        return [f"{prefix}{file_name}*" for prefix in ("", f"{ONNX_FOLDER}/")]
    return [pattern for part in split_dtype(dtype) for pattern in _variant_patterns(manifest, part)]


def _variant_patterns(manifest: Manifest | None, dtype: str | None) -> list[str]:
    if manifest is not None:
        chosen = manifest.variants.get(dtype or _default_dtype(manifest.variants))
        return [entry.path for entry in chosen.files] if chosen else []
    suffix = DTYPE_SUFFIXES.get(dtype or "fp32", "")
    return [f"{prefix}{graph}{suffix}.onnx*" for graph in _CONVENTIONAL_GRAPHS for prefix in ("", f"{ONNX_FOLDER}/")]


def canonical_dtype(dtype: object) -> str | None:
    """A precision by its own name, whatever transformers calls it; None leaves the choice open.

    >>> canonical_dtype("float16"), canonical_dtype("q4"), canonical_dtype("auto")
    ('fp16', 'q4', None)
    """
    name = None if dtype is None else str(dtype).removeprefix("torch.")
    return DTYPE_ALIASES.get(name, name) if name is not None else None


def split_dtype(dtype: object) -> tuple[str | None, ...]:
    """The precisions that a name joins, in order: of a language model the prompt's, then the steps'.

    >>> split_dtype("int8+q4"), split_dtype("float16"), split_dtype(None)
    (('int8', 'q4'), ('fp16',), (None,))
    """
    return (None,) if dtype is None else tuple(canonical_dtype(part) for part in str(dtype).split("+"))


def _default_dtype(variants: Mapping[str, Any] | tuple[str, ...]) -> str:
    return "fp32" if "fp32" in variants or not variants else next(iter(variants))


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
        self.config: dict[str, Any] = read_optional_json(self.folder / "config.json") or {}
        self._require_onnx()

    def __repr__(self) -> str:
        return f"Artifact({str(self.folder)!r}, variants={list(self.variants)})"

    @property
    def task(self) -> str | None:
        """The task it was exported for, or None for a folder without a manifest."""
        return self.manifest.task if self.manifest else None

    @property
    def likely_task(self) -> str | None:
        """The task; for a folder without a manifest the one its config's architecture suggests, or None."""
        if self.manifest:
            return self.manifest.task
        names = self.config.get("architectures")
        name = str(names[0]) if isinstance(names, list) and names else ""
        return next((task for ending, task in _TASKS_BY_ARCHITECTURE.items() if name.endswith(ending)), None)

    @property
    def max_length(self) -> int | None:
        """Longest input in tokens, or None where there is no fixed limit."""
        return self.manifest.max_length if self.manifest else None

    @property
    def variants(self) -> tuple[str, ...]:
        """Precisions that are there."""
        if self.manifest:
            return tuple(self.manifest.variants)
        return tuple(
            dtype for dtype in DTYPE_SUFFIXES if any(self._find_by_name(graph, dtype) for graph in _CONVENTIONAL_GRAPHS)
        )

    def chosen_dtype(self, dtype: str | None = None) -> str:
        """``dtype`` by its own name, or the precision that is taken where none is asked for."""
        return canonical_dtype(dtype) or _default_dtype(self.variants)

    def model_file(self, component: str = "model", dtype: str | None = None, file_name: str | None = None) -> Path:
        """Path of one graph.

        Args:
            component: ``"model"``, ``"encoder_model"``, ``"decoder_model"``.
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
            return self._manifest_file(self.manifest, component, dtype)
        path = self._find_by_name(component, dtype)
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
        found = {path: self._difference(entry, contents) for path, entry in entries.items()}
        return {path: difference for path, difference in found.items() if difference}

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

    def _manifest_file(self, manifest: Manifest, component: str, dtype: str) -> Path:
        variant = manifest.variants.get(dtype)
        if variant is None:
            raise ArtifactNotFoundError(
                f"{self.folder} has no variant {dtype!r}; it has {', '.join(self.variants)}. "
                f"Pass one of these as dtype=, or export again with --dtype {dtype}."
            )
        if component not in variant.components:
            raise ArtifactNotFoundError(
                f"{self.folder} has no graph {component!r} in {dtype}; it has {', '.join(variant.components)}. "
                "Load it with the class of its task, or export it for this one."
            )
        for entry in variant.files:
            self._require_whole(entry)
        return self.folder / variant.components[component].file

    def _require_whole(self, entry: FileEntry) -> None:
        path = require_inside(self.folder / entry.path, self.folder, MANIFEST_FILE)
        if not is_regular_file(path):
            raise CorruptArtifactError(
                f"{path} is in the manifest and not on disk, or is no file. Copy or export it again."
            )
        size_bytes = path.stat().st_size
        if size_bytes != entry.size_bytes:
            raise CorruptArtifactError(
                f"{path} has {size_bytes} bytes; the manifest says {entry.size_bytes}. Copy or export it again."
            )

    def _difference(self, entry: FileEntry, contents: bool) -> str | None:
        try:
            self._require_whole(entry)
            if not contents:
                return None
            digest = file_entry(self.folder, self.folder / entry.path).sha256
        except ArtifactError as error:
            return str(error)
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        return None if digest == entry.sha256 else f"sha256 is {digest}; the manifest says {entry.sha256}"

    def _listed_variants(self) -> tuple[Variant, ...]:
        return tuple(self.manifest.variants.values()) if self.manifest else ()

    def _find_by_name(self, component: str, dtype: str) -> Path | None:
        name = f"{component}{DTYPE_SUFFIXES.get(dtype, f'_{dtype}')}.onnx"
        candidates = (self.folder / ONNX_FOLDER / name, self.folder / name)
        return next((path for path in candidates if is_regular_file(path)), None)

    def _onnx_files(self) -> str:
        return (
            ", ".join(sorted(path.relative_to(self.folder).as_posix() for path in self.graph_files())) or "no ONNX file"
        )

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
