"""What a load must know of an ONNX file before ONNX Runtime reads it: external data, and whether it is whole.

The runtime does not depend on the onnx package, so this walks the protobuf wire format: only lengths and the few
fields that can lead to a tensor's external data are read, weights are skipped, and the file is memory-mapped.
Field numbers are those of onnx.proto3; wire format: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ArtifactNotFoundError, CorruptArtifactError, UnsafeArtifactError
from .safe_paths import is_regular_file, require_inside, require_relative

_LENGTH_DELIMITED = 2
_FIXED_SIZES = {1: 8, 5: 4}

# Message → the fields through which a TensorProto can be reached, by number.
_Schema = Mapping[int, Any]
_TENSOR: _Schema = {13: "external_data"}
_SPARSE_TENSOR: _Schema = {1: _TENSOR, 2: _TENSOR}
_ATTRIBUTE: dict[int, Any] = {5: _TENSOR, 10: _TENSOR, 22: _SPARSE_TENSOR, 23: _SPARSE_TENSOR}
_NODE: _Schema = {5: _ATTRIBUTE}
_GRAPH: _Schema = {1: _NODE, 5: _TENSOR, 15: _SPARSE_TENSOR}
_ATTRIBUTE.update({6: _GRAPH, 11: _GRAPH})
_TRAINING: _Schema = {1: _GRAPH, 2: _GRAPH}
_FUNCTION: _Schema = {7: _NODE, 11: _ATTRIBUTE}
_MODEL_GRAPH_FIELD = 7
_NODE_FIELD, _NODE_INPUT_FIELD, _NODE_OPERATOR_FIELD = 1, 1, 4
_INPUT_FIELD, _OUTPUT_FIELD, _NAME_FIELD = 11, 12, 1
_INITIALIZER_FIELD = 5
_ATTRIBUTE_FIELD, _ATTRIBUTE_INTEGER_FIELD, _NESTED_GRAPH_FIELDS = 5, 3, (6, 11)
_DIMS_FIELD, _DATA_TYPE_FIELD, _TENSOR_NAME_FIELD, _RAW_DATA_FIELD, _EXTERNAL_DATA_FIELD = 1, 2, 8, 9, 13
# ValueInfoProto → type → tensor_type → shape → dim.
_VALUE_TO_DIMENSION = (2, 1, 2, 1)
_DIM_VALUE_FIELD, _DIM_PARAM_FIELD = 1, 2
_MODEL: _Schema = {_MODEL_GRAPH_FIELD: _GRAPH, 20: _TRAINING, 25: _FUNCTION}

Axes = tuple[str | int, ...]
"""Sizes of a value's axes, or their names; empty where none are declared."""


@dataclass(frozen=True)
class StoredTensor:
    """An initializer whose values lie in a file as they lie in memory.

    Args:
        name: in the graph.
        data_type: a number of onnx.proto3's ``TensorProto.DataType``.
        shape: sizes of its axes.
        location: the file beside the ONNX file, relative to its folder; None for the ONNX file itself.
        offset: first byte in it.
        length: bytes; 0 where the graph does not say.
    """

    name: str
    data_type: int
    shape: tuple[int, ...]
    location: str | None
    offset: int
    length: int


@dataclass(frozen=True)
class GraphNode:
    """A node of a graph.

    Args:
        operator: its type, without the domain.
        inputs: names of what it reads.
        integers: those of its attributes that are a whole number.
    """

    operator: str
    inputs: tuple[str, ...]
    integers: Mapping[str, int]


# ONNX Runtime reads such a location as an address in its own memory.
_MEMORY_ADDRESS_MARK = "_ORT_MEM_ADDR_"
_SMALL_MESSAGE_BYTES = 1 << 16
_LFS_POINTER_START = b"version https://git-lfs"


def check_onnx_file(path: Path, folder: Path) -> list[Path]:
    """Check that ``path`` is a whole ONNX file whose external data stays inside ``folder``.

    Returns:
        The external data files it needs, each once.

    Raises:
        CorruptArtifactError: the file is empty, truncated, or no protobuf.
        ArtifactNotFoundError: an external data file is missing.
        UnsafeArtifactError: an external data location leaves the folder.
    """
    return [_safe_data_path(path, location, folder) for location in external_locations(path)]


def external_locations(path: Path) -> list[str]:
    """Where an ONNX file says that its external data lies, relative to its own folder.

    Raises:
        CorruptArtifactError: the file is empty, truncated, or no protobuf.
        ArtifactNotFoundError: it is missing.
    """
    if not is_regular_file(path):
        raise ArtifactNotFoundError(f"{path} is missing, or is no file. Copy or export it again.")
    try:
        return sorted(_read_locations(path))
    except OSError as error:
        raise CorruptArtifactError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error
    except (IndexError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptArtifactError(
            f"{path} is truncated or not an ONNX file ({error}). Copy or export it again."
        ) from error


def operator_counts(path: Path) -> Counter[str]:
    """How often the graph of an ONNX file holds each operator, by name without its domain; nested graphs left out.

    Raises:
        CorruptArtifactError: the file is no protobuf.
    """
    with _mapped(path) as buffer:
        return Counter(_operators(buffer))


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    """The bytes of an ONNX file; whatever in them is no protobuf ends as an error of the file."""
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
            yield buffer
    except (IndexError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise CorruptArtifactError(f"{path} is not an ONNX file ({error}). Copy or export it again.") from error


def _operators(buffer: mmap.mmap) -> Iterator[str]:
    for number, _, begin, stop in _fields(buffer, 0, len(buffer)):
        if number == _MODEL_GRAPH_FIELD:
            for _, operator in _nodes(buffer, begin, stop):
                yield operator


def _read_locations(path: Path) -> set[str]:
    if path.stat().st_size == 0:
        raise IndexError("it is empty")
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
        if buffer[: len(_LFS_POINTER_START)] == _LFS_POINTER_START:
            raise IndexError("it is a Git LFS pointer: run `git lfs pull`")
        if not any(number == _MODEL_GRAPH_FIELD for number, *_ in _fields(buffer, 0, len(buffer))):
            raise IndexError("it holds no graph")
        return set(_external_locations(buffer, 0, len(buffer), _MODEL))


def graph_values(path: Path) -> tuple[dict[str, Axes], dict[str, Axes]]:
    """Inputs and outputs of a graph, name → its axes; both empty for what is no ONNX file.

    Args:
        path: the ONNX file.
    """
    found: dict[int, dict[str, Axes]] = {_INPUT_FIELD: {}, _OUTPUT_FIELD: {}}
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
            for begin, stop in _spans(buffer, 0, len(buffer), _MODEL_GRAPH_FIELD):
                for field, values in found.items():
                    for first, last in _spans(buffer, begin, stop, field):
                        names = [_text(buffer, *span) for span in _spans(buffer, first, last, _NAME_FIELD)]
                        values |= dict.fromkeys(names, _axes(buffer, first, last))
    except (OSError, IndexError, UnicodeDecodeError, ValueError):
        return {}, {}
    return found[_INPUT_FIELD], found[_OUTPUT_FIELD]


def _axes(buffer: mmap.mmap, start: int, end: int) -> Axes:
    """Axes that a ValueInfoProto declares: a number, or a name; empty without any."""
    dimensions = [(start, end)]
    for field in _VALUE_TO_DIMENSION:
        dimensions = [span for begin, stop in dimensions for span in _spans(buffer, begin, stop, field)]
    return tuple(_axis(buffer, *span) for span in dimensions)


def _axis(buffer: mmap.mmap, start: int, end: int) -> str | int:
    for number, kind, begin, stop in _fields(buffer, start, end):
        if number == _DIM_VALUE_FIELD and kind == 0:
            return _varint(buffer, begin)[0]
        if number == _DIM_PARAM_FIELD:
            return _text(buffer, begin, stop)
    return ""


def _text(buffer: mmap.mmap, start: int, end: int) -> str:
    return buffer[start:end].decode("utf-8")


def _spans(buffer: mmap.mmap, start: int, end: int, wanted: int) -> list[tuple[int, int]]:
    """First byte and end of every field of one number."""
    return [(begin, stop) for number, _, begin, stop in _fields(buffer, start, end) if number == wanted]


def readers_of(path: Path, names: frozenset[str]) -> dict[str, set[str]]:
    """Values of a graph by name → the types of the operators that read them, those in nested graphs left out."""
    found: dict[str, set[str]] = {}
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
        for number, _, begin, stop in _fields(buffer, 0, len(buffer)):
            if number == _MODEL_GRAPH_FIELD:
                for inputs, operator in _nodes(buffer, begin, stop):
                    for name in names & inputs:
                        found.setdefault(name, set()).add(operator)
    return found


def graph_nodes(path: Path) -> list[GraphNode]:
    """Nodes of an ONNX file's graph and of the graphs nested in it.

    Raises:
        CorruptArtifactError: the file is no protobuf.
    """
    with _mapped(path) as buffer:
        graphs = _spans(buffer, 0, len(buffer), _MODEL_GRAPH_FIELD)
        return [node for graph in graphs for node in _all_nodes(buffer, *graph)]


def _all_nodes(buffer: mmap.mmap, start: int, end: int) -> Iterator[GraphNode]:
    for node in _spans(buffer, start, end, _NODE_FIELD):
        inputs = tuple(_text(buffer, *span) for span in _spans(buffer, *node, _NODE_INPUT_FIELD))
        operator = "".join(_text(buffer, *span) for span in _spans(buffer, *node, _NODE_OPERATOR_FIELD))
        attributes = _spans(buffer, *node, _ATTRIBUTE_FIELD)
        yield GraphNode(operator, inputs, dict(_integers(buffer, attributes)))
        for attribute in attributes:
            for field in _NESTED_GRAPH_FIELDS:
                for graph in _spans(buffer, *attribute, field):
                    yield from _all_nodes(buffer, *graph)


def _integers(buffer: mmap.mmap, attributes: Iterable[tuple[int, int]]) -> Iterator[tuple[str, int]]:
    for attribute in attributes:
        name = "".join(_text(buffer, *span) for span in _spans(buffer, *attribute, _NAME_FIELD))
        for first, _ in _spans(buffer, *attribute, _ATTRIBUTE_INTEGER_FIELD):
            yield name, _varint(buffer, first)[0]


def _nodes(buffer: mmap.mmap, start: int, end: int) -> Iterator[tuple[set[str], str]]:
    """Inputs and operator type of each NodeProto of a GraphProto."""
    for number, _, begin, stop in _fields(buffer, start, end):
        if number != _NODE_FIELD:
            continue
        wanted = (_NODE_INPUT_FIELD, _NODE_OPERATOR_FIELD)
        spans = [(field, first, last) for field, _, first, last in _fields(buffer, begin, stop) if field in wanted]
        texts = [(field, buffer[first:last].decode("utf-8")) for field, first, last in spans]
        inputs = {text for field, text in texts if field == _NODE_INPUT_FIELD}
        yield inputs, next((text for field, text in texts if field == _NODE_OPERATOR_FIELD), "")


def stored_tensors(path: Path) -> list[StoredTensor]:
    """Initializers of an ONNX file's graph that lie as bytes in it or in a file beside it, nested graphs left out.

    Raises:
        CorruptArtifactError: the file is no protobuf.
    """
    with _mapped(path) as buffer:
        graphs = _spans(buffer, 0, len(buffer), _MODEL_GRAPH_FIELD)
        spans = [span for graph in graphs for span in _spans(buffer, *graph, _INITIALIZER_FIELD)]
        found = [_stored_tensor(buffer, *span) for span in spans]
    return [tensor for tensor in found if tensor is not None]


def _stored_tensor(buffer: mmap.mmap, start: int, end: int) -> StoredTensor | None:
    """An initializer by its TensorProto; None where its values are written number by number."""
    place = _place(buffer, start, end)
    if place is None:
        return None
    dims: list[int] = []
    for number, kind, begin, stop in _fields(buffer, start, end):
        if number == _DIMS_FIELD:
            dims += _packed(buffer, begin, stop) if kind == _LENGTH_DELIMITED else [_varint(buffer, begin)[0]]
    name = "".join(_text(buffer, *span) for span in _spans(buffer, start, end, _TENSOR_NAME_FIELD))
    data_type = [_varint(buffer, begin)[0] for begin, _ in _spans(buffer, start, end, _DATA_TYPE_FIELD)]
    return StoredTensor(name, (data_type or [0])[-1], tuple(dims), *place)


def _place(buffer: mmap.mmap, start: int, end: int) -> tuple[str | None, int, int] | None:
    """File, first byte and number of bytes of an initializer's values."""
    entries = dict(_entry(buffer, *span) for span in _spans(buffer, start, end, _EXTERNAL_DATA_FIELD))
    if "location" in entries:
        return entries["location"], int(entries.get("offset", 0)), int(entries.get("length", 0))
    raw = _spans(buffer, start, end, _RAW_DATA_FIELD)
    return (None, raw[-1][0], raw[-1][1] - raw[-1][0]) if raw else None


def _packed(buffer: mmap.mmap, position: int, end: int) -> Iterator[int]:
    while position < end:
        value, position = _varint(buffer, position)
        yield value


def _entry(buffer: mmap.mmap, start: int, end: int) -> tuple[str, str]:
    """Key and value of a StringStringEntryProto."""
    fields = {number: _text(buffer, begin, stop) for number, _, begin, stop in _fields(buffer, start, end)}
    return fields.get(1, ""), fields.get(2, "")


def _safe_data_path(model: Path, location: str, folder: Path) -> Path:
    if _MEMORY_ADDRESS_MARK in location:
        raise UnsafeArtifactError(
            f"{model} reads its weights from {location!r}, an address in memory; that is refused."
        )
    data = model.parent / require_relative(location, str(model))
    require_inside(data, folder, str(model))
    if not is_regular_file(data):
        raise ArtifactNotFoundError(f"{model} needs its weights in {data}, which is missing. Copy or export it again.")
    return data


def _external_locations(buffer: mmap.mmap, start: int, end: int, schema: _Schema) -> Iterator[str]:
    for number, wire_type, begin, stop in _fields(buffer, start, end):
        child = schema.get(number)
        if child is None or wire_type != _LENGTH_DELIMITED:
            continue
        # A search through a small message is many times faster than a walk; large ones are mostly weights.
        if stop - begin < _SMALL_MESSAGE_BYTES and buffer.find(b"location", begin, stop) < 0:
            continue
        if child == "external_data":
            yield from _location(buffer, begin, stop)
        else:
            yield from _external_locations(buffer, begin, stop, child)


def _location(buffer: mmap.mmap, start: int, end: int) -> Iterator[str]:
    """Value of a StringStringEntryProto (key 1, value 2) whose key is ``location``; the last of a field counts."""
    fields = _fields(buffer, start, end)
    entry = {number: buffer[begin:stop] for number, kind, begin, stop in fields if kind == _LENGTH_DELIMITED}
    if entry.get(1) == b"location":
        yield entry.get(2, b"").decode("utf-8")


def _fields(buffer: mmap.mmap, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (field number, wire type, first byte, end) of each field between ``position`` and ``end``."""
    while position < end:
        tag, position = _varint(buffer, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _LENGTH_DELIMITED:
            length, position = _varint(buffer, position)
            stop = position + length
        elif wire_type == 0:
            _, stop = _varint(buffer, position)
        elif wire_type in _FIXED_SIZES:
            stop = position + _FIXED_SIZES[wire_type]
        else:
            raise IndexError(f"wire type {wire_type} at byte {position}")
        if stop > end or number == 0:
            raise IndexError(f"the field at byte {position} runs past the end")
        yield number, wire_type, position, stop
        position = stop


def _varint(buffer: mmap.mmap, position: int) -> tuple[int, int]:
    byte = buffer[position]
    position += 1
    if byte < 0x80:
        return byte, position
    value, shift = byte & 0x7F, 7
    while shift < 64:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise IndexError(f"the number at byte {position} is longer than 64 bits")
