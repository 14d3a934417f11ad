"""Images and audio in requests: their bytes as base64, and nothing that would be read from the server's disk."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..refusals import RefusedError

MEDIA_TASKS = frozenset(
    {
        "audio-classification",
        "automatic-speech-recognition",
        "image-classification",
        "image-feature-extraction",
        "zero-shot-image-classification",
    }
)
"""Tasks whose inputs are files, which pipelines take by path too."""

_FILE_KEYS = ("image", "bytes")
_ARRAY_KEYS = ("raw", "array")


def media_of(inputs: Any) -> Any:
    """The inputs of a task over images or audio, with bytes where base64 stood.

    Args:
        inputs: bytes, base64 or a data URL; a mapping with ``image`` or ``bytes`` as base64 or a data URL, or with
            samples as ``raw`` or ``array`` and their ``sampling_rate``; or a list of these.

    Raises:
        RefusedError: it is something else, such as a path of this machine or an address.
    """
    if isinstance(inputs, bytes) and inputs:
        return inputs
    if isinstance(inputs, str):
        return _decoded(inputs)
    if isinstance(inputs, list):
        return [media_of(item) for item in inputs]
    if isinstance(inputs, Mapping) and "path" not in inputs:
        return {name: _value(name, value) for name, value in inputs.items()}
    raise _refused()


def _value(name: str, value: Any) -> Any:
    if name in _FILE_KEYS:
        if not isinstance(value, str):
            raise _refused()
        return _decoded(value)
    if name in _ARRAY_KEYS and isinstance(value, list):
        try:
            return np.asarray(value, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise _refused() from error
    return value


def _decoded(text: str) -> bytes:
    head, separator, rest = text.partition(",")
    if head.startswith("data:") and separator:
        text = rest
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused() from error
    if not found:
        raise _refused()
    return found


def _refused() -> RefusedError:
    return RefusedError(
        400,
        "Images and audio come as the base64 of a file's bytes or as data URLs; paths and addresses are not read.",
        param="inputs",
        code="invalid_value",
    )
