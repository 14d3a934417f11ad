"""What a caller passes as audio at the model's own rate, as float32 rows, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, InputTypeError

Waveform = NDArray[np.float32]


def waveform_rows(speech: Any) -> list[Waveform]:
    """One or several waveforms as a list of (samples,) float32.

    Args:
        speech: (samples,) or (batch, samples) numbers: an array, a list of numbers, or a list of either.

    Raises:
        InputTypeError: it is something else.
        InputError: a waveform is empty, has several channels, or holds nan or infinity.
    """
    if isinstance(speech, np.ndarray):
        rows = list(speech) if speech.ndim > 1 else [speech]
    elif isinstance(speech, list | tuple):
        is_batch = bool(speech) and isinstance(speech[0], np.ndarray | list | tuple)
        rows = list(speech) if is_batch else [speech]
    else:
        raise InputTypeError(f"The audio is a {type(speech).__name__}; an array of samples, or a list, is needed.")
    several = len(rows) > 1
    return [require_waveform(row, f"Audio {index}" if several else "The audio") for index, row in enumerate(rows)]


def require_waveform(samples: Any, name: str = "The audio") -> Waveform:
    """One waveform as (samples,) float32.

    Raises:
        InputTypeError: it is no array of real numbers.
        InputError: it is empty, has several channels, or holds nan or infinity.
    """
    try:
        array = np.asarray(samples)
    except ValueError as error:
        raise InputTypeError(f"{name} is ragged ({error}); one number for each sample is needed.") from error
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise InputTypeError(f"{name} holds {array.dtype}; numbers are needed, best float32 between -1 and 1.")
    if array.size == 0:
        raise InputError(f"{name} is empty; at least one sample is needed.")
    if array.ndim != 1:
        raise InputError(f"{name} has shape {array.shape}; one channel, (samples,), is needed. Average the channels.")
    waveform = array.astype(np.float32, copy=False)
    if not np.isfinite(waveform).all():
        raise InputError(f"{name} holds nan or infinity; every sample must be a number.")
    return waveform
