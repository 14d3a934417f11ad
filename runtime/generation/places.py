"""Where a graph computes, and arrays in memory that only it can reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import CacheMemoryError
from ..providers import CUDA_PROVIDER, import_onnxruntime
from ..session import Session

_FIRST_LINE_LENGTH = 300


@dataclass(frozen=True)
class Place:
    """A device's memory.

    Args:
        device: ONNX Runtime's name, ``"cpu"`` or ``"cuda"``.
        index: which of several.
        is_separate: whether arrays of numpy must be copied there before a graph can use them.
    """

    device: str = "cpu"
    index: int = 0
    is_separate: bool = False

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        """An OrtValue in this memory, its values not set.

        Raises:
            CacheMemoryError: it does not fit.
        """
        make = import_onnxruntime().OrtValue.ortvalue_from_shape_and_type
        try:
            return make(list(shape), np.dtype(dtype).type, self.device, self.index)
        except Exception as error:
            size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
            raise CacheMemoryError(
                f"{size_bytes:,} bytes do not fit into the memory of {self.device}:{self.index}: "
                f"{str(error)[:_FIRST_LINE_LENGTH]} Ask for fewer rows, fewer beams or fewer tokens."
            ) from error


HOST = Place()


def place_of(session: Session) -> Place:
    """Where a session's graph computes."""
    if session.provider != CUDA_PROVIDER:
        return HOST
    options = session.ort_session.get_provider_options().get(CUDA_PROVIDER, {})
    return Place("cuda", int(options.get("device_id", 0)), is_separate=True)


class DeviceBuffer:
    """An array in a device's memory whose first axis are rows that can be bound by themselves.

    Args:
        value: an OrtValue that owns the memory, or lies in that of ``owner``.
        view: makes an OrtValue of a shape at an address of the same memory.
        dtype: numpy dtype.
        owner: what keeps the memory.
    """

    def __init__(self, value: Any, view: Callable[[tuple[int, ...], int], Any], dtype: str, owner: Any = None) -> None:
        self.value = value
        self.dtype = np.dtype(dtype)
        self.shape = tuple(value.shape())
        self._view = view
        self._owner = owner

    @classmethod
    def zeros(cls, place: Place, session: Session, name: str, shape: tuple[int, ...], dtype: str) -> Self:
        """A buffer of zeros.

        Args:
            session: whose bindings make the views.
            name: an output of its graph.

        Raises:
            CacheMemoryError: it does not fit.
        """

        def view(part: tuple[int, ...], address: int) -> Any:
            binding = session.ort_session.io_binding()
            binding.bind_output(name, place.device, place.index, np.dtype(dtype).type, list(part), address)
            return binding.get_outputs()[0]

        buffer = cls(place.empty(shape, dtype), view, dtype)
        # What lies there may be no number, and stays none when it is multiplied by zero.
        buffer.write(np.zeros(shape, dtype))
        return buffer

    @property
    def nbytes(self) -> int:
        """Its size."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def rows(self, first: int, count: int) -> DeviceBuffer:
        """Some rows as a buffer on the same memory."""
        shape = (count, *self.shape[1:])
        address = self.value.data_ptr() + first * (self.nbytes // self.shape[0])
        return DeviceBuffer(self._view(shape, address), self._view, self.dtype.name, owner=self)

    def row(self, row: int) -> DeviceBuffer:
        """One row as a buffer on the same memory."""
        return self.rows(row, 1)

    def read(self) -> NDArray[Any]:
        """A copy of the values."""
        return np.array(self.value.numpy())

    def write(self, values: NDArray[Any]) -> None:
        """Replace all values."""
        self.value.update_inplace(np.ascontiguousarray(values, dtype=self.dtype))
