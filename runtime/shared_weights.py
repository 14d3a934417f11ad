"""Two graphs of one model, such as one for prompts and one for steps, with their weights in memory once.

Exporters write the weights into such graphs twice, or into a file beside each. Where both hold the same numbers, both
sessions read one copy: a file beside a graph is mapped into memory; what lies inside an ONNX file is read from it, as
it begins at any byte there and kernels ask for whole numbers' addresses. A tensor that only one of them has is left to
ONNX Runtime.

Nothing is packed, which would be a copy for each. That costs time where the rows of a call are many: a prompt, or steps
of several texts or beams; a step of one row reads as much either way. Kernels of quantised weights read nothing but
what they packed, so graphs with such weights keep a copy each. A graph that holds both phases needs none of this.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import CorruptArtifactError
from .onnx_file import StoredTensor, check_onnx_file, graph_values, readers_of, stored_tensors
from .providers import CPU_PROVIDER, import_onnxruntime, provider_name, resolve_providers
from .session import Session, SessionOptions

# TensorProto.DataType → numpy's type of the same size; numpy has no bfloat16.
_NUMPY_TYPES: Mapping[int, str] = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "uint16",
}
_LEAST_SHARE = 0.5
# What is smaller stays inside the graph for ONNX Runtime to fold, as exporters keep it there with external data.
_LEAST_INLINE_BYTES = 1024
# Operators that read a weight as it is; ONNX Runtime makes a product of two of what a transposed one goes into.
_READING_IN_PLACE = frozenset({"MatMul", "Gemm", "Gather", "Transpose"})
# Operators whose kernels read a weight only as they packed it; without that, each call packs anew or takes a slow way.
_READING_PACKED = frozenset(
    {
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "DynamicQuantizeMatMul",
        "QLinearMatMul",
        "QGemm",
        "QAttention",
        "DequantizeLinear",
        "GatherBlockQuantized",
    }
)
_WITHOUT_FOLDING = {"optimization.disable_specified_optimizers": "ConstantFolding"}
_FIRST_COMPARED_BYTES, _COMPARED_BYTES = 1 << 12, 1 << 22


def open_sharing(paths: Sequence[Path], folder: Path, options: SessionOptions | None = None) -> list[Session]:
    """Open graphs of one model.

    Args:
        paths: the ONNX files.
        folder: the artifact's.
        options: of all sessions.

    Raises:
        CorruptArtifactError, UnsafeArtifactError, ArtifactNotFoundError: a file cannot be used.
        OptionError, ProviderError: as for :class:`.session.Session`.
    """
    options = options or SessionOptions()
    shared = _shared(paths, folder) if len(paths) > 1 and _runs_on_cpu(options) else {}
    sessions = [Session(path, folder, _reading(options, path, shared.get(path))) for path in paths]
    if shared:
        _return_freed_memory()
    return sessions


def _reading(options: SessionOptions, path: Path, weights: Mapping[str, Any] | None) -> SessionOptions:
    """Options of a session that reads its weights in place; without any, those it was given."""
    if not weights:
        return options
    tables = frozenset(name for name, value in weights.items() if len(value.shape()) > 1)
    is_plain = all(readers <= _READING_IN_PLACE for readers in readers_of(path, tables).values())
    # Folding writes a transposed weight down once more, for each session.
    config = {**(options.config or {}), **_WITHOUT_FOLDING} if is_plain else options.config
    return replace(options, prepack=False, weights=weights, config=config)


def _return_freed_memory() -> None:
    """Give the kernel what reading graphs took; the C library would keep it for allocations that never come."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _runs_on_cpu(options: SessionOptions) -> bool:
    providers = resolve_providers(options.device, options.providers)
    return [provider_name(provider) for provider in providers] == [CPU_PROVIDER]


def _shared(paths: Sequence[Path], folder: Path) -> dict[Path, dict[str, Any]]:
    """The graphs that share weights with the first: path → initializer → value; empty where it is not worth it."""
    for path in paths:
        check_onnx_file(path, folder)
    first, *others = paths
    own = _mapped(first, _shareable(first))
    found = {}
    for path in others:
        tensors = _shareable(path)
        pairs = dict(_same(_mapped(path, tensors), own))
        if sum(_size_bytes(tensor) for tensor in pairs) > _LEAST_SHARE * sum(map(_size_bytes, tensors)):
            found[path] = pairs
    # What is mapped costs nothing where only one graph reads it.
    wanted = {tensor for pairs in found.values() for tensor in pairs.values()}
    used = (tensor for tensor in own if tensor.location or tensor in wanted)
    arrays = {tensor: array for tensor in used if (array := own[tensor]) is not None}
    if not found or _is_read_packed(first, arrays):
        return {}
    values = {tensor: _ort_value(first, tensor, array) for tensor, array in arrays.items()}
    by_name = {path: {own.name: values[theirs] for own, theirs in pairs.items()} for path, pairs in found.items()}
    return {first: {tensor.name: value for tensor, value in values.items()}, **by_name}


def _shareable(path: Path) -> list[StoredTensor]:
    """Initializers of a graph but those that a caller may give as inputs, and small ones inside the ONNX file."""
    inputs, _ = graph_values(path)
    tensors = [tensor for tensor in stored_tensors(path) if tensor.name not in inputs]
    return [tensor for tensor in tensors if tensor.location or tensor.length >= _LEAST_INLINE_BYTES]


def _is_read_packed(path: Path, tensors: Iterable[StoredTensor]) -> bool:
    tables = frozenset(tensor.name for tensor in tensors if len(tensor.shape) > 1)
    return any(readers & _READING_PACKED for readers in readers_of(path, tables).values())


def _same(
    tensors: Mapping[StoredTensor, NDArray[Any] | None], others: Mapping[StoredTensor, NDArray[Any] | None]
) -> Iterator[tuple[StoredTensor, StoredTensor]]:
    """Tensors of a graph, each with the one of another graph that holds the same numbers."""
    by_kind: dict[tuple[int, tuple[int, ...]], list[StoredTensor]] = {}
    for other, array in others.items():
        if array is not None:
            by_kind.setdefault((other.data_type, other.shape), []).append(other)
    for tensor, array in tensors.items():
        candidates = by_kind.get((tensor.data_type, tensor.shape), []) if array is not None else []
        # What one exporter wrote twice mostly lies at the same place.
        candidates = sorted(candidates, key=lambda other: other.offset != tensor.offset)
        match = next((other for other in candidates if _is_equal(array, others[other])), None)
        if match is not None:
            yield tensor, match


def _is_equal(array: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    if array is None or other is None:
        return False
    left, right = array.reshape(-1).view(np.uint8), other.reshape(-1).view(np.uint8)
    # Weights of one shape mostly differ from their first numbers on.
    starts = (0, *range(_FIRST_COMPARED_BYTES, len(left), _COMPARED_BYTES))
    ends = (*starts[1:], len(left))
    return all(np.array_equal(left[at:end], right[at:end]) for at, end in zip(starts, ends, strict=True))


def _mapped(path: Path, tensors: Sequence[StoredTensor]) -> dict[StoredTensor, NDArray[Any] | None]:
    """Tensors of a graph, each where it lies in its file; None for a type that numpy has no array for."""
    files: dict[Path, NDArray[np.uint8]] = {}
    found: dict[StoredTensor, NDArray[Any] | None] = {}
    for tensor in tensors:
        file = _file_of(path, tensor)
        if file not in files:
            files[file] = _mapped_file(file)
        found[tensor] = _view(path, tensor, files[file])
    return found


def _mapped_file(file: Path) -> NDArray[np.uint8]:
    try:
        is_empty = file.stat().st_size == 0
        return np.empty(0, np.uint8) if is_empty else np.memmap(file, dtype=np.uint8, mode="r")
    except OSError as error:
        raise CorruptArtifactError(f"{file} cannot be read: {error.strerror}. Check its permissions.") from error


def _view(path: Path, tensor: StoredTensor, data: NDArray[np.uint8]) -> NDArray[Any] | None:
    dtype, size_bytes = _NUMPY_TYPES.get(tensor.data_type), _size_bytes(tensor)
    if dtype is None or not size_bytes or (tensor.location is None and tensor.length != size_bytes):
        return None
    if not 0 <= tensor.offset <= len(data) - size_bytes:
        raise CorruptArtifactError(
            f"{path} reads {tensor.name} from byte {tensor.offset} of {tensor.location}, which has {len(data)} bytes. "
            "Copy or export both again."
        )
    return data[tensor.offset : tensor.offset + size_bytes].view(dtype).reshape(tensor.shape)


def _ort_value(path: Path, tensor: StoredTensor, array: NDArray[Any]) -> Any:
    """A tensor for sessions: in place in a mapped file where its numbers lie at addresses of their kind, else read."""
    if tensor.location is None or not array.flags.aligned:
        count = math.prod(tensor.shape)
        array = np.fromfile(_file_of(path, tensor), array.dtype, count, offset=tensor.offset).reshape(tensor.shape)
    return import_onnxruntime().OrtValue.ortvalue_from_numpy_with_onnx_type(array, tensor.data_type)


def _file_of(path: Path, tensor: StoredTensor) -> Path:
    return path if tensor.location is None else path.parent / tensor.location


def _size_bytes(tensor: StoredTensor) -> int:
    return math.prod(tensor.shape) * np.dtype(_NUMPY_TYPES.get(tensor.data_type, "uint8")).itemsize
