"""Power spectra of a waveform's frames, many frames in one transform.

Source: transformers 5.23, audio_utils.py (`spectrogram`), which takes one frame at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Frames transformed at a time: a few megabytes, whatever the length of the audio.
_BLOCK_FRAMES = 1024


def periodic_hann(length: int) -> Array:
    """The Hann window of a short-time transform, (length,) float64."""
    return np.hanning(length + 1)[:-1]


def mel_spectrogram(
    waveform: NDArray[np.floating],
    window: Array,
    hop_length: int,
    filters: Array,
    *,
    num_bins_doubled: int | None = None,
    preemphasis: float | None = None,
    remove_offset: bool = False,
    floor: float = 1e-10,
) -> Array:
    """Mel spectrum of each frame, (frames, filters) float64, not below ``floor``.

    Args:
        waveform: (samples,); frames start every ``hop_length`` samples, as long as a whole one is left.
        window: (frame length,) float64.
        filters: (bins, filters) float64, of :func:`.mel.mel_filters`.
        num_bins_doubled: length of the transform, frames being filled up with zeros; None takes the frame's.
        preemphasis: subtract this much of each sample's predecessor.
        remove_offset: subtract each frame's mean.
        floor: least value.
    """
    frames = np.lib.stride_tricks.sliding_window_view(waveform, len(window))[::hop_length]
    mel = np.empty((len(frames), filters.shape[1]), dtype=np.float64)
    for start, block in _blocks(frames):
        samples = block.astype(np.float64)
        if remove_offset:
            samples -= samples.mean(axis=1, keepdims=True)
        if preemphasis is not None:
            samples[:, 1:] -= preemphasis * samples[:, :-1]
            samples[:, 0] *= 1 - preemphasis
        samples *= window
        spectrum = np.fft.rfft(samples, n=num_bins_doubled, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        np.matmul(power, filters, out=mel[start : start + len(block)])
    return np.maximum(mel, floor, out=mel)


def _blocks(frames: NDArray[np.floating]) -> Iterator[tuple[int, NDArray[np.floating]]]:
    for start in range(0, len(frames), _BLOCK_FRAMES):
        yield start, frames[start : start + _BLOCK_FRAMES]
