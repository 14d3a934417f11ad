"""The manifest of an artifact, ``headway.json``: its fields, and how it is checked when it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .errors import CorruptArtifactError, UnsupportedFormatError
from .safe_paths import require_relative
from .typed_json import JsonTypeError, record_from_json

MANIFEST_FILE = "headway.json"
FORMAT_VERSION = 1


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
    """One ONNX graph of a variant: ``model``, or ``encoder_model`` and ``decoder_model``.

    ``defaults`` holds the inputs that a caller may leave out, with the number that fills them then; None where the
    exporter did not find out.
    """

    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    opset: int
    operators: Mapping[str, int] = field(default_factory=dict)
    defaults: Mapping[str, int] | None = None

    @property
    def reads_weights_in_place(self) -> bool:
        """Whether one token's step reads the weights as they lie in the file; see :func:`reads_weights_in_place`."""
        return reads_weights_in_place(self.operators)


def reads_weights_in_place(operators: Mapping[str, int]) -> bool:
    """Whether every product of a graph takes its weight as (out, in).

    For one row such a product on the file, mapped into memory, takes about a tenth longer than on weights that ONNX
    Runtime packs in memory, and needs no copy of them; for many rows it takes much longer.

    Args:
        operators: operator → how many nodes.
    """
    return "com.microsoft.FusedMatMul" in operators and not _PACKED_PRODUCTS & set(operators)


_PACKED_PRODUCTS = frozenset(
    {"MatMul", "Gemm", "MatMulInteger", "com.microsoft.MatMulNBits", "com.microsoft.DynamicQuantizeMatMul"}
)


@dataclass(frozen=True)
class Variant:
    """The graphs of one precision, their files, and how they were verified."""

    components: Mapping[str, Component]
    files: tuple[FileEntry, ...]
    verification: Mapping[str, Any] = field(default_factory=dict)
    fusions: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size_bytes for entry in self.files)


@dataclass(frozen=True)
class Manifest:
    """What ``headway.json`` says about an artifact.

    ``tuned`` holds what ``headway tune`` found, by machine: a fingerprint's key → the JSON form of a
    :class:`~headway.runtime.tuning.setup.TuningRecord`, which is checked when it is used. ``compat`` says that the
    graphs hold operators of the ONNX standard only.
    """

    task: str
    architecture: str
    model_type: str
    variants: Mapping[str, Variant]
    source: Mapping[str, Any] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    trace: Mapping[str, Any] = field(default_factory=dict)
    max_length: int | None = None
    max_decoder_length: int | None = None
    heads: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tuned: Mapping[str, Any] = field(default_factory=dict)
    compat: bool = False
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

        Args:
            origin: the file it came from, for messages.

        Raises:
            UnsupportedFormatError: it was written by a newer Headway.
            CorruptArtifactError: a field is missing or has the wrong type.
            UnsafeArtifactError: it names a file outside the artifact's folder.
        """
        _require_version(data.get("format_version"), origin)
        try:
            manifest = record_from_json(cls, data)
            _require_plausible(manifest)
        except JsonTypeError as error:
            raise CorruptArtifactError(
                f"{origin} is not a Headway manifest: {error}. Copy or export the model again."
            ) from error
        for variant in manifest.variants.values():
            for path in (*(entry.path for entry in variant.files), *_graph_files(variant)):
                require_relative(path, origin)
        return manifest


def _require_version(version: Any, origin: str) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise CorruptArtifactError(
            f"{origin} is not a Headway manifest: format_version is {version!r}; a whole number from 1 to "
            f"{FORMAT_VERSION} was expected. Copy or export the model again."
        )
    if version > FORMAT_VERSION:
        raise UnsupportedFormatError(
            f"{origin} has format version {version}; this Headway reads up to {FORMAT_VERSION}. Upgrade headway."
        )


def _require_plausible(manifest: Manifest) -> None:
    if not manifest.variants:
        raise JsonTypeError("variants is empty; at least one precision was expected")
    if manifest.max_length is not None and manifest.max_length < 1:
        raise JsonTypeError(f"max_length is {manifest.max_length}; at least 1 was expected")
    for dtype, variant in manifest.variants.items():
        if not variant.components:
            raise JsonTypeError(f"variants.{dtype}.components is empty; at least one graph was expected")
        listed = {entry.path for entry in variant.files}
        unlisted = [path for path in _graph_files(variant) if path not in listed]
        if unlisted:
            raise JsonTypeError(f"variants.{dtype}.files lacks the graph {unlisted[0]!r}")


def _graph_files(variant: Variant) -> tuple[str, ...]:
    return tuple(component.file for component in variant.components.values())


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write ``headway.json`` into ``folder``."""
    path = folder / MANIFEST_FILE
    path.write_text(json.dumps(manifest.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
