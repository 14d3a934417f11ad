"""Mel scales and banks of triangular filters.

Source: transformers 5.23, audio_utils.py (`hertz_to_mel`, `mel_to_hertz`, `mel_filter_bank`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Slaney's scale is linear up to this frequency, and logarithmic above.
_BREAK_HERTZ, _BREAK_MEL = 1000.0, 15.0
_LOG_STEP = np.log(6.4) / 27.0


def _slaney_mel(hertz: Array) -> Array:
    upper = _BREAK_MEL + np.log(np.maximum(hertz, _BREAK_HERTZ) / _BREAK_HERTZ) / _LOG_STEP
    return np.where(hertz < _BREAK_HERTZ, 3.0 * hertz / 200.0, upper)


def _slaney_hertz(mel: Array) -> Array:
    upper = _BREAK_HERTZ * np.exp(_LOG_STEP * (np.maximum(mel, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, 200.0 * mel / 3.0, upper)


_TO_MEL: Mapping[str, Callable[[Array], Array]] = {
    "slaney": _slaney_mel,
    "htk": lambda hertz: 2595.0 * np.log10(1.0 + hertz / 700.0),
    "kaldi": lambda hertz: 1127.0 * np.log(1.0 + hertz / 700.0),
}
_TO_HERTZ: Mapping[str, Callable[[Array], Array]] = {
    "slaney": _slaney_hertz,
    "htk": lambda mel: 700.0 * (10.0 ** (mel / 2595.0) - 1.0),
    "kaldi": lambda mel: 700.0 * (np.exp(mel / 1127.0) - 1.0),
}


@functools.lru_cache(maxsize=16)
def mel_filters(
    num_bins: int,
    num_filters: int,
    min_hertz: float,
    max_hertz: float,
    sampling_rate: int,
    scale: str,
    *,
    constant_energy: bool = False,
    in_mel_space: bool = False,
) -> Array:
    """A matrix (num_bins, num_filters) float64 from a power spectrum to a mel spectrum; read-only.

    Args:
        num_bins: frequencies of the spectrum, 0 and half the sampling rate included.
        num_filters: filters between ``min_hertz`` and ``max_hertz``, evenly spaced on the mel scale.
        sampling_rate: in hertz.
        scale: ``"slaney"``, ``"htk"`` or ``"kaldi"``.
        constant_energy: divide each filter by its width in hertz.
        in_mel_space: the sides of the triangles are straight on the mel scale instead of in hertz.
    """
    ends = _TO_MEL[scale](np.array([min_hertz, max_hertz], dtype=np.float64))
    mel_points = np.linspace(ends[0], ends[1], num_filters + 2)
    hertz: Array = np.linspace(0, sampling_rate // 2, num_bins)
    points: Array = _TO_HERTZ[scale](mel_points)
    if in_mel_space:
        bins: Array = sampling_rate / (2 * (num_bins - 1)) * np.arange(num_bins, dtype=np.float64)
        hertz, points = _TO_MEL[scale](bins), mel_points
    widths: Array = np.diff(points)
    distance = points[None, :] - hertz[:, None]
    filters = np.maximum(0.0, np.minimum(-distance[:, :-2] / widths[:-1], distance[:, 2:] / widths[1:]))
    if constant_energy:
        filters *= 2.0 / (points[2:] - points[:-2])
    filters.setflags(write=False)
    return filters
