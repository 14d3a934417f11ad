"""bfloat16, which numpy has no arrays of: what a graph gives in it becomes float32, which holds each of its numbers."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

BFLOAT16 = "bfloat16"


def as_array(value: Any) -> NDArray[Any]:
    """An OrtValue in the memory of the host as an array; float32 where it holds bfloat16."""
    if value.data_type() != f"tensor({BFLOAT16})":
        array: NDArray[Any] = value.numpy()
        return array
    content = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    # A bfloat16 is the upper half of a float32.
    halves = np.frombuffer(content, dtype=np.uint16).astype(np.uint32) << 16
    return halves.view(np.float32).reshape(value.shape())
