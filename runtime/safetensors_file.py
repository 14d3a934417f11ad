"""Read small safetensors files without the safetensors package.

Format: https://github.com/huggingface/safetensors#format: eight bytes little-endian with the header's length, a JSON
header (name → dtype, shape, data_offsets), then the data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import CorruptArtifactError

_DTYPES: Mapping[str, str] = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4"}


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of a file by name; bfloat16 becomes float32.

    Raises:
        CorruptArtifactError: the file is truncated or no safetensors file.
    """
    content = path.read_bytes()
    try:
        header_size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + header_size])
        data = content[8 + header_size :]
        return {name: _array(entry, data) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptArtifactError(
            f"{path} ({len(content)} bytes) is no whole safetensors file: {error}. Fetch or export it again."
        ) from error


def _array(entry: Mapping[str, Any], data: bytes) -> NDArray[Any]:
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= len(data):
        raise ValueError("an array lies outside the file")
    shape = tuple(entry["shape"])
    if entry["dtype"] == "BF16":
        # The upper half of a float32.
        halves = np.frombuffer(data, dtype="<u2", count=math.prod(shape), offset=begin).astype(np.uint32)
        return (halves << 16).view(np.float32).reshape(shape)
    return np.frombuffer(data[begin:end], dtype=_DTYPES[entry["dtype"]]).reshape(shape)
