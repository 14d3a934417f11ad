"""Tensors of the KServe v2 protocol: JSON or binary, in and out.

Source: KServe's "Open Inference Protocol" and Triton's "Binary Tensor Data Extension". A request or answer with binary
data is JSON followed by the bytes of each tensor; a header says how long the JSON is.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..http import encode_json
from ..refusals import RefusedError

HEADER_LENGTH = "inference-header-content-length"

Array = NDArray[Any]

DATATYPES: Mapping[str, str] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
"""The protocol's names of element types → numpy's; texts are BYTES."""

DATATYPE_NAMES: Mapping[str, str] = {dtype: name for name, dtype in DATATYPES.items()}

_LENGTH = struct.Struct("<I")
_MAX_ELEMENTS = 1 << 26


class InputTensor(msgspec.Struct):
    """A tensor of a request; its data is here or behind the JSON."""

    name: str
    shape: Annotated[list[Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(max_length=8)]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class OutputRequest(msgspec.Struct):
    """A tensor that the answer should hold."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct):
    """Tensors to run."""

    inputs: Annotated[list[InputTensor], msgspec.Meta(min_length=1)]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[OutputRequest] | None = None


class OutputTensor(msgspec.Struct, omit_defaults=True):
    """A tensor of an answer."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class InferResponse(msgspec.Struct, omit_defaults=True):
    """What came out."""

    model_name: str
    outputs: list[OutputTensor]
    model_version: str | None = None
    id: str | None = None


def split_body(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    """The JSON of a request, and the bytes behind it."""
    if header_length is None:
        return body, memoryview(b"")
    if not header_length.isdigit() or int(header_length) > len(body):
        raise RefusedError(
            400, f"{HEADER_LENGTH} is {header_length[:20]!r}; the body has {len(body)} bytes.", code="invalid_value"
        )
    length = int(header_length)
    return body[:length], memoryview(body)[length:]


def read_tensors(inputs: Sequence[InputTensor], binary: memoryview) -> dict[str, Array]:
    """Name → array of every input; texts are arrays of str.

    Raises:
        RefusedError: data that is missing, of the wrong size, or cannot be read.
    """
    arrays = {}
    for tensor in inputs:
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None:
            arrays[tensor.name] = _from_list(tensor)
            continue
        if not isinstance(size, int) or not 0 <= size <= len(binary):
            raise _bad(tensor, f"says it has {str(size)[:20]} bytes; {len(binary)} are left")
        arrays[tensor.name] = _from_bytes(tensor, binary[:size])
        binary = binary[size:]
    if len(binary):
        raise RefusedError(400, f"{len(binary)} bytes are left over behind the inputs.", code="invalid_value")
    return arrays


def write_tensors(
    response: InferResponse, arrays: Mapping[str, Array], is_binary: Mapping[str, bool]
) -> tuple[bytes, int | None]:
    """The answer's bytes, and the length of its JSON where bytes follow."""
    blobs = []
    for name, array in arrays.items():
        datatype = "BYTES" if array.dtype.kind in "OU" else DATATYPE_NAMES[array.dtype.name]
        tensor = OutputTensor(name, datatype, list(array.shape))
        if is_binary[name]:
            blob = _text_bytes(array) if datatype == "BYTES" else np.ascontiguousarray(array).tobytes()
            tensor.parameters = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            tensor.data = array.ravel().tolist()
        response.outputs.append(tensor)
    head = encode_json(response)
    return (b"".join([head, *blobs]), len(head)) if blobs else (head, None)


def _from_list(tensor: InputTensor) -> Array:
    if tensor.data is None:
        raise _bad(tensor, "has no data")
    count = _num_elements(tensor)
    try:
        if tensor.datatype == "BYTES":
            flat: Array = np.array(tensor.data, dtype=object).ravel()
            if not all(isinstance(item, str) for item in flat):
                raise _bad(tensor, "holds something else than texts")
        else:
            flat = np.array(tensor.data)
            if flat.dtype.kind not in "biuf" and flat.size:
                raise _bad(tensor, "holds something else than numbers")
            flat = _converted(tensor, flat.ravel())
    except (ValueError, OverflowError) as error:
        raise _bad(tensor, f"cannot be read ({type(error).__name__})") from error
    if flat.size != count:
        raise _bad(tensor, f"has {flat.size} elements and the shape {tensor.shape}")
    return flat.reshape(tensor.shape)


def _converted(tensor: InputTensor, flat: Array) -> Array:
    wanted = np.dtype(_dtype(tensor))
    if wanted.kind in "iu" and flat.size:
        limits = np.iinfo(wanted)
        if flat.dtype.kind == "f" or flat.min() < limits.min or flat.max() > limits.max:
            raise _bad(tensor, f"holds numbers that are no {tensor.datatype}")
    with np.errstate(over="ignore"):
        return flat.astype(wanted)


def _from_bytes(tensor: InputTensor, data: memoryview) -> Array:
    count = _num_elements(tensor)
    if tensor.datatype == "BYTES":
        return _texts(tensor, data, count).reshape(tensor.shape)
    dtype = np.dtype(_dtype(tensor)).newbyteorder("<")
    if len(data) != count * dtype.itemsize:
        raise _bad(tensor, f"has {len(data)} bytes and the shape {tensor.shape}")
    return np.frombuffer(data, dtype=dtype).reshape(tensor.shape)


def _texts(tensor: InputTensor, data: memoryview, count: int) -> Array:
    """Texts, each behind its length."""
    texts: list[str] = []
    while len(data) >= _LENGTH.size and len(texts) < count:
        (size,) = _LENGTH.unpack_from(data)
        piece = data[_LENGTH.size : _LENGTH.size + size]
        if len(piece) != size:
            break
        try:
            texts.append(bytes(piece).decode("utf-8"))
        except UnicodeDecodeError as error:
            raise _bad(tensor, "holds bytes that are no UTF-8") from error
        data = data[_LENGTH.size + size :]
    if len(texts) != count or len(data):
        raise _bad(tensor, f"does not hold {count} texts, each behind its length")
    array = np.empty(count, dtype=object)
    array[:] = texts
    return array


def _text_bytes(array: Array) -> bytes:
    encoded = [str(item).encode("utf-8") for item in array.ravel()]
    return b"".join(_LENGTH.pack(len(item)) + item for item in encoded)


def _num_elements(tensor: InputTensor) -> int:
    count = math.prod(tensor.shape)
    if max(count, *tensor.shape, 0) > _MAX_ELEMENTS:
        raise _bad(tensor, f"has the shape {tensor.shape}, over {_MAX_ELEMENTS} elements")
    return count


def _dtype(tensor: InputTensor) -> str:
    if tensor.datatype not in DATATYPES:
        raise _bad(tensor, f"has the datatype {tensor.datatype[:20]!r}; known are BYTES, {', '.join(DATATYPES)}")
    return DATATYPES[tensor.datatype]


def _bad(tensor: InputTensor, what: str) -> RefusedError:
    return RefusedError(400, f"The input {tensor.name[:80]!r} {what}.", param="inputs", code="invalid_tensor")
