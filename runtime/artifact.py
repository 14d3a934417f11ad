"""The folder contract: what an exported artifact holds, and how its manifest is read and written.

This is the only place that knows file names and the manifest's layout; the exporter writes through it and everything
else reads through it. File names follow the transformers.js / onnx-community convention.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .errors import ArtifactNotFoundError, CorruptArtifactError, NotExportedError, UnsupportedFormatError

MANIFEST_FILE = "headway.json"
FORMAT_VERSION = 1
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

PYTORCH_WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin", "*.gguf", "model*.pt")


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph.

    ``shape`` holds an axis name (``"batch_size"``) for a dynamic axis and an integer for a fixed one; ``dtype`` is
    numpy's name (``"int64"``, ``"float32"``).
    """

    name: str
    dtype: str
    shape: tuple[str | int, ...]

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)


@dataclass(frozen=True)
class FileEntry:
    """One file of a variant, with what is needed to tell whether it arrived whole."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Component:
    """One ONNX graph of a variant: ``model``, or ``encoder_model`` and ``decoder_model``."""

    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    opset: int
    operators: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """The graphs of one precision, their files, and how they were verified."""

    components: Mapping[str, Component]
    files: tuple[FileEntry, ...]
    verification: Mapping[str, Any] = field(default_factory=dict)
    fusions: tuple[str, ...] = ()
    tuned: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size_bytes for entry in self.files)


@dataclass(frozen=True)
class Manifest:
    """What ``headway.json`` says about an artifact."""

    task: str
    architecture: str
    model_type: str
    variants: Mapping[str, Variant]
    source: Mapping[str, Any] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    trace: Mapping[str, Any] = field(default_factory=dict)
    max_length: int | None = None
    heads: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    format_version: int = FORMAT_VERSION

    def with_variant(self, dtype: str, variant: Variant) -> Manifest:
        """A copy that also holds ``variant``."""
        return replace(self, variants={**self.variants, dtype: variant})

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, origin: str = MANIFEST_FILE) -> Manifest:
        """Build a manifest from its JSON form.

        Raises:
            UnsupportedFormatError: it was written by a newer Headway.
            CorruptArtifactError: a field is missing or has the wrong type.
        """
        version = data.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise UnsupportedFormatError(
                f"{origin} has format version {version}; this Headway reads up to {FORMAT_VERSION}. Upgrade headway."
            )
        try:
            variants = {dtype: _variant_from_dict(entry) for dtype, entry in data["variants"].items()}
            return cls(
                task=data["task"],
                architecture=data["architecture"],
                model_type=data["model_type"],
                variants=variants,
                source=data.get("source", {}),
                packages=data.get("packages", {}),
                trace=data.get("trace", {}),
                max_length=data.get("max_length"),
                heads=tuple(data.get("heads", ())),
                warnings=tuple(data.get("warnings", ())),
                format_version=int(data["format_version"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CorruptArtifactError(
                f"{origin} is not a Headway manifest ({type(error).__name__}: {error}). Export the model again."
            ) from error


def _variant_from_dict(data: Mapping[str, Any]) -> Variant:
    components = {name: _component_from_dict(entry) for name, entry in data["components"].items()}
    return Variant(
        components=components,
        files=tuple(FileEntry(**entry) for entry in data["files"]),
        verification=data.get("verification", {}),
        fusions=tuple(data.get("fusions", ())),
        tuned=data.get("tuned", {}),
    )


def _component_from_dict(data: Mapping[str, Any]) -> Component:
    def specs(entries: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(entry["name"], entry["dtype"], tuple(entry["shape"])) for entry in entries)

    return Component(
        file=data["file"],
        inputs=specs(data["inputs"]),
        outputs=specs(data["outputs"]),
        opset=int(data["opset"]),
        operators=data.get("operators", {}),
    )


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


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write ``headway.json`` into ``folder``."""
    path = folder / MANIFEST_FILE
    path.write_text(json.dumps(manifest.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CorruptArtifactError: the file is truncated or is no JSON object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CorruptArtifactError(f"{path} is not readable JSON: {error}. Copy or export it again.") from error
    if not isinstance(data, dict):
        raise CorruptArtifactError(f"{path} holds a JSON {type(data).__name__}; an object was expected.")
    return data


class Artifact:
    """An artifact folder opened for reading.

    Args:
        folder: a local folder; it must exist.

    Raises:
        ArtifactNotFoundError: the folder does not exist, or holds no ONNX file.
        NotExportedError: it holds PyTorch weights and no ONNX file.
        CorruptArtifactError, UnsupportedFormatError: its manifest or config cannot be used.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ArtifactNotFoundError(f"{self.folder} is not a folder. Pass an exported folder or a hub id.")
        manifest_path = self.folder / MANIFEST_FILE
        self.manifest: Manifest | None = None
        if manifest_path.is_file():
            self.manifest = Manifest.from_dict(read_json(manifest_path), origin=str(manifest_path))
        config_path = self.folder / "config.json"
        self.config: dict[str, Any] = read_json(config_path) if config_path.is_file() else {}
        self._require_onnx()

    def __repr__(self) -> str:
        return f"Artifact({str(self.folder)!r}, variants={list(self.variants)})"

    @property
    def task(self) -> str | None:
        """The task it was exported for, or None for a folder without a manifest."""
        return self.manifest.task if self.manifest else None

    @property
    def max_length(self) -> int | None:
        """Longest input in tokens, or None where there is no fixed limit."""
        return self.manifest.max_length if self.manifest else None

    @property
    def variants(self) -> tuple[str, ...]:
        """Precisions that are there."""
        if self.manifest:
            return tuple(self.manifest.variants)
        return tuple(dtype for dtype in DTYPE_SUFFIXES if self._find_by_name("model", dtype))

    def model_file(self, component: str = "model", dtype: str | None = None, file_name: str | None = None) -> Path:
        """Path of one graph.

        Args:
            component: ``"model"``, ``"encoder_model"``, ``"decoder_model"``.
            dtype: a key of :data:`DTYPE_SUFFIXES`; None takes fp32, or the only one there is.
            file_name: an explicit file, relative to the folder or to its ``onnx`` folder.

        Raises:
            ArtifactNotFoundError: there is no such file or variant; the message lists what there is.
            CorruptArtifactError: a file is missing or shorter than the manifest says.
        """
        if file_name is not None:
            return self._explicit_file(file_name)
        dtype = dtype or self._default_dtype()
        if self.manifest:
            return self._manifest_file(self.manifest, component, dtype)
        path = self._find_by_name(component, dtype)
        if path is None:
            raise ArtifactNotFoundError(
                f"{self.folder} has no {component} in {dtype}; it has {self._onnx_files()}. "
                "Pass dtype= or file_name= for one of these."
            )
        return path

    def _default_dtype(self) -> str:
        variants = self.variants
        return "fp32" if "fp32" in variants or not variants else variants[0]

    def _explicit_file(self, file_name: str) -> Path:
        for path in (self.folder / file_name, self.folder / ONNX_FOLDER / file_name):
            if path.is_file():
                return path
        raise ArtifactNotFoundError(f"{self.folder} has no {file_name}; it has {self._onnx_files()}.")

    def _manifest_file(self, manifest: Manifest, component: str, dtype: str) -> Path:
        variant = manifest.variants.get(dtype)
        if variant is None:
            raise ArtifactNotFoundError(
                f"{self.folder} has no variant {dtype!r}; it has {', '.join(self.variants)}. "
                f"Pass one of these as dtype=, or export again with --dtype {dtype}."
            )
        if component not in variant.components:
            raise ArtifactNotFoundError(
                f"{self.folder} has no graph {component!r} in {dtype}; it has {', '.join(variant.components)}."
            )
        self._check_sizes(variant)
        return self.folder / variant.components[component].file

    def _check_sizes(self, variant: Variant) -> None:
        for entry in variant.files:
            path = self.folder / entry.path
            if not path.is_file():
                raise CorruptArtifactError(f"{path} is in the manifest and not on disk. Copy or export it again.")
            size_bytes = path.stat().st_size
            if size_bytes != entry.size_bytes:
                raise CorruptArtifactError(
                    f"{path} has {size_bytes} bytes; the manifest says {entry.size_bytes}. Copy or export it again."
                )

    def changed_files(self) -> list[str]:
        """Paths whose content no longer matches the manifest's sha256 (reads every file)."""
        if self.manifest is None:
            return []
        entries = {entry.path: entry for variant in self.manifest.variants.values() for entry in variant.files}
        return [
            path
            for path, entry in entries.items()
            if not (self.folder / path).is_file() or file_entry(self.folder, self.folder / path) != entry
        ]

    def _find_by_name(self, component: str, dtype: str) -> Path | None:
        name = f"{component}{DTYPE_SUFFIXES[dtype]}.onnx"
        candidates = (self.folder / ONNX_FOLDER / name, self.folder / name)
        return next((path for path in candidates if path.is_file()), None)

    def _onnx_files(self) -> str:
        files = sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*.onnx"))
        return ", ".join(files) or "no ONNX file"

    def _require_onnx(self) -> None:
        if self.manifest or any(self.folder.rglob("*.onnx")):
            return
        if any(path for pattern in PYTORCH_WEIGHT_PATTERNS for path in self.folder.glob(pattern)):
            raise NotExportedError(
                f"{self.folder} holds PyTorch weights and no ONNX file. Export it once with "
                f"`headway export {self.folder} OUT`, or pass export=True (needs the [export] extra)."
            )
        raise ArtifactNotFoundError(
            f"{self.folder} holds no {MANIFEST_FILE} and no ONNX file. Pass a folder written by `headway export`."
        )
