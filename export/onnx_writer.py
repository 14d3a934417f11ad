"""An ONNX file written tensor by tensor, so that saving a model needs no second and third copy of its weights.

The wire format is protobuf's (https://protobuf.dev/programming-guides/encoding), the field numbers are onnx.proto's. A
message may hold its fields in any order, so the weights come last, each straight from where it lies.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import onnx
import onnx_ir

_MODEL_GRAPH, _GRAPH_INITIALIZER, _TENSOR_RAW_DATA = 7, 5, 9
_LENGTH_DELIMITED = 2
_WRITE_BLOCK_BYTES = 1 << 24


def write_onnx(model: onnx_ir.Model, path: Path) -> None:
    """Write a model with its weights inside the file; it must stay under protobuf's 2 GiB.

    Args:
        model: its initializers may be lazy; each is computed when it is written, and dropped.
    """
    initializers = dict(model.graph.initializers)
    proto = _without_initializers(model)
    graph = proto.graph.SerializeToString()
    proto.ClearField("graph")
    headers = {name: _tensor_header(name, value) for name, value in initializers.items()}
    tensors = {name: value.const_value for name, value in initializers.items() if value.const_value is not None}
    sizes = {name: len(headers[name]) + _field_size(_TENSOR_RAW_DATA, tensors[name].nbytes) for name in tensors}
    graph_size = len(graph) + sum(_field_size(_GRAPH_INITIALIZER, size) for size in sizes.values())
    with path.open("wb") as file:
        file.write(proto.SerializeToString())
        file.write(_prefix(_MODEL_GRAPH, graph_size))
        file.write(graph)
        for name, tensor in tensors.items():
            file.write(_prefix(_GRAPH_INITIALIZER, sizes[name]))
            file.write(headers[name])
            file.write(_prefix(_TENSOR_RAW_DATA, tensor.nbytes))
            _write_tensor(tensor, file)


def _without_initializers(model: onnx_ir.Model) -> onnx.ModelProto:
    initializers = dict(model.graph.initializers)
    model.graph.initializers.clear()
    try:
        return onnx_ir.to_proto(model)
    finally:
        model.graph.initializers.update(initializers)


def _tensor_header(name: str, value: onnx_ir.Value) -> bytes:
    tensor = value.const_value
    if tensor is None:
        return b""
    dims = tensor.shape.numpy()
    return onnx.TensorProto(name=name, data_type=int(tensor.dtype), dims=dims).SerializeToString()


def _write_tensor(tensor: onnx_ir.TensorProtocol, file: BinaryIO) -> None:
    data = memoryview(tensor.tobytes())
    if len(data) != tensor.nbytes:
        raise ValueError(f"{tensor.name} has {len(data)} bytes, not the {tensor.nbytes} of its shape")
    for start in range(0, len(data), _WRITE_BLOCK_BYTES):
        file.write(data[start : start + _WRITE_BLOCK_BYTES])


def _field_size(field: int, num_bytes: int) -> int:
    return len(_prefix(field, num_bytes)) + num_bytes


def _prefix(field: int, num_bytes: int) -> bytes:
    """Tag and length that precede a length-delimited field."""
    return _varint(field << 3 | _LENGTH_DELIMITED) + _varint(num_bytes)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
