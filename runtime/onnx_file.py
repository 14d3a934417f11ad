"""What a load must know of an ONNX file before ONNX Runtime reads it: external data, and whether it is whole.

The runtime does not depend on the onnx package, so this walks the protobuf wire format: only lengths and the few
fields that name external files are read, weights are skipped, and the file is memory-mapped.
Field numbers: onnx.proto3 (ModelProto.graph 7, GraphProto.node 1 and initializer 5, NodeProto.attribute 5,
AttributeProto.t 5, g 6, tensors 10 and graphs 11, TensorProto.external_data 13, StringStringEntryProto.key 1, value 2).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import ArtifactNotFoundError, CorruptArtifactError, UnsafeArtifactError

_LENGTH_DELIMITED = 2
_FIXED_SIZES = {1: 8, 5: 4}

_Schema = Mapping[int, Any]
_TENSOR: _Schema = {13: "external_data"}
_ATTRIBUTE: dict[int, Any] = {5: _TENSOR, 10: _TENSOR}
_NODE: _Schema = {5: _ATTRIBUTE}
_GRAPH: _Schema = {1: _NODE, 5: _TENSOR}
_ATTRIBUTE.update({6: _GRAPH, 11: _GRAPH})
_MODEL: _Schema = {7: _GRAPH}


def check_onnx_file(path: Path, folder: Path) -> list[Path]:
    """Check that ``path`` is a whole ONNX file whose external data stays inside ``folder``.

    Returns:
        The external data files it needs, each once.

    Raises:
        CorruptArtifactError: the file is empty, truncated, or no protobuf.
        ArtifactNotFoundError: an external data file is missing.
        UnsafeArtifactError: an external data location leaves the folder.
    """
    if path.stat().st_size == 0:
        raise CorruptArtifactError(f"{path} is empty. Copy or export it again.")
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
        try:
            locations = set(_external_locations(buffer, 0, len(buffer), _MODEL))
        except (IndexError, UnicodeDecodeError, RecursionError) as error:
            raise CorruptArtifactError(f"{path} is truncated or not an ONNX file. Copy or export it again.") from error
    return [_safe_data_path(path, location, folder) for location in sorted(locations)]


def _safe_data_path(model: Path, location: str, folder: Path) -> Path:
    data = model.parent / location
    if Path(location).is_absolute() or ".." in Path(location).parts or not _stays_inside(data, folder):
        raise UnsafeArtifactError(
            f"{model} reads its weights from {location!r}, outside {folder}. Only files inside the artifact are read."
        )
    if not data.is_file():
        raise ArtifactNotFoundError(f"{model} needs its weights in {data}, which is missing. Copy or export it again.")
    return data


def _stays_inside(data: Path, folder: Path) -> bool:
    target = data.resolve()
    allowed = [folder.resolve()]
    # The hub cache links snapshots/<revision>/<file> to blobs/<hash> of the same repository.
    allowed += [parent.parent / "blobs" for parent in folder.absolute().parents if parent.name == "snapshots"]
    return any(target.is_relative_to(root.resolve()) for root in allowed)


def _external_locations(buffer: mmap.mmap, start: int, end: int, schema: _Schema) -> Iterator[str]:
    for number, wire_type, begin, stop in _fields(buffer, start, end):
        child = schema.get(number)
        if child is None or wire_type != _LENGTH_DELIMITED:
            continue
        if child == "external_data":
            entry = {number: buffer[a:b] for number, _, a, b in _fields(buffer, begin, stop)}
            if entry.get(1) == b"location":
                yield entry[2].decode("utf-8")
        else:
            yield from _external_locations(buffer, begin, stop, child)


def _fields(buffer: mmap.mmap, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (field number, wire type, first byte, end) of each field between ``position`` and ``end``."""
    while position < end:
        tag, position = _varint(buffer, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            _, stop = _varint(buffer, position)
        elif wire_type in _FIXED_SIZES:
            stop = position + _FIXED_SIZES[wire_type]
        elif wire_type == _LENGTH_DELIMITED:
            length, position = _varint(buffer, position)
            stop = position + length
        else:
            raise IndexError(f"wire type {wire_type}")
        if stop > end or number == 0:
            raise IndexError("a field runs past the end of the file")
        yield number, wire_type, position, stop
        position = stop


def _varint(buffer: mmap.mmap, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise IndexError("a number longer than 64 bits")
