"""From one sampling rate to another."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import MissingExtraError
from .waveforms import Waveform


def resample(waveform: Waveform, rate: int, target_rate: int) -> Waveform:
    """A waveform (samples,) float32 at another rate, band-limited; high quality, as librosa's default.

    Args:
        rate: samples a second of ``waveform``.
        target_rate: of the result.

    Raises:
        MissingExtraError: the rates differ and the ``[audio]`` extra is not there.
    """
    if rate == target_rate:
        return waveform
    resampled: Waveform = _soxr().resample(waveform, rate, target_rate, quality="HQ")
    return resampled.astype(np.float32, copy=False)


def _soxr() -> Any:
    try:
        import soxr
    except ImportError as error:
        raise MissingExtraError(
            "Audio at another rate than the model's needs the package soxr. "
            "Install it with: pip install 'headway[audio]'"
        ) from error
    return soxr
