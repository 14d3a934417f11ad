"""The binary weight file of CTranslate2, read into numpy arrays.

Layout (``python/ctranslate2/specs/model_spec.py``, ``_serialize`` of CTranslate2, binary version 6), little endian:

    uint32 version · string specification · uint32 revision
    uint32 number of variables, then for each: string name · uint8 rank · rank x uint32 shape · uint8 dtype
        · uint32 size in bytes · data
    uint32 number of aliases, then for each: string alias · string name

A string is a uint16 length that counts its terminating zero byte, then its bytes.
"""

import struct
from pathlib import Path

import numpy as np

from headway.runtime.errors import CorruptArtifactError

DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


class _Reader:
    """A cursor over the bytes of the file."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._position = 0

    def number(self, code: str) -> int:
        return int(struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0])

    def string(self) -> str:
        return bytes(self.take(self.number("H"))[:-1]).decode()

    def take(self, size_bytes: int) -> memoryview:
        end = self._position + size_bytes
        if end > len(self._data):
            raise CorruptArtifactError(f"The file ends at byte {len(self._data)} and {end} were expected.")
        taken = self._data[self._position : end]
        self._position = end
        return taken


def read_ct2_weights(path: Path) -> dict[str, np.ndarray]:
    """Every variable of the CTranslate2 file `path` by name, aliases included, in the dtype it is stored in."""
    reader = _Reader(path.read_bytes())
    reader.number("I")
    reader.string()
    reader.number("I")
    weights = dict(_read_variable(reader) for _ in range(reader.number("I")))
    for _ in range(reader.number("I")):
        alias = reader.string()
        weights[alias] = weights[reader.string()]
    return weights


def _read_variable(reader: _Reader) -> tuple[str, np.ndarray]:
    name = reader.string()
    shape = [reader.number("I") for _ in range(reader.number("B"))]
    dtype = DTYPES[reader.number("B")]
    data = reader.take(reader.number("I"))
    return name, np.frombuffer(data, dtype).reshape(shape)
