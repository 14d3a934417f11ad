"""Whisper's log-mel spectrogram: 30 seconds, filled up with silence.

Source: transformers 5.23, models/whisper/feature_extraction_whisper.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError
from .feature_extractor import FeatureExtractor, normalized
from .mel import mel_filters
from .padding import Array, Padding
from .spectrogram import mel_spectrogram, periodic_hann
from .waveforms import Waveform

_FLOOR = 1e-10
_MAX_HERTZ = 8000.0
# The quietest bin kept, in powers of ten below the loudest.
_RANGE = 8.0


class WhisperFeatureExtractor(FeatureExtractor):
    """``input_features`` (batch, feature_size, frames) float32, a frame every hundredth of a second."""

    defaults: ClassVar = {
        "feature_size": 80,
        "hop_length": 160,
        "chunk_length": 30,
        "n_fft": 400,
        "dither": 0.0,
    }
    call_options = frozenset({"do_normalize"})
    main_input = "input_features"
    default_padding = "max_length"
    default_truncation = True

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        if self.options["dither"]:
            raise OptionError(f"dither={self.options['dither']} adds noise, so no result repeats; only 0.0 is allowed.")
        self.n_samples = int(self.options["chunk_length"] * self.sampling_rate)
        self.nb_max_frames = self.n_samples // int(self.options["hop_length"])

    @property
    def default_length(self) -> int:
        """Samples of one window."""
        return self.n_samples

    def extract(
        self, waveforms: Sequence[Waveform], padding: Padding, with_mask: bool, options: Mapping[str, Any]
    ) -> dict[str, list[Array]]:
        """Cut and fill up to the window's length, then log-mel."""
        hop = int(options["hop_length"])
        rows, masks = padding(waveforms)
        if options["do_normalize"]:
            lengths = [int(mask.sum()) for mask in masks]
            rows = [normalized(row, length, padding.value) for row, length in zip(rows, lengths, strict=True)]
        ends = [_end(mask) for mask in masks]
        mels: list[Array] = [self._log_mel(row, end) for row, end in zip(rows, ends, strict=True)]
        features = {self.main_input: mels}
        if with_mask:
            features["attention_mask"] = [mask[::hop][: len(mask) // hop] for mask in masks]
        return features

    def _log_mel(self, waveform: Array, end: int) -> NDArray[np.float32]:
        """(feature_size, frames) float32; samples from ``end`` on are filling, and not transformed where it is 0."""
        length, hop = int(self.options["n_fft"]), int(self.options["hop_length"])
        if len(waveform) <= length // 2:
            raise InputError(f"The audio has {len(waveform)} samples; over {length // 2} are needed without padding.")
        padded = np.pad(waveform, length // 2, mode="reflect")
        num_frames = len(waveform) // hop
        # Frames that hold nothing but zeros, away from the reflection at the end, need no transform.
        is_silent_end = end < len(waveform) and not waveform[end:].any() and len(waveform) - end > length
        heard = min(num_frames, (end + length // 2) // hop + 1) if is_silent_end else num_frames
        filters = mel_filters(
            1 + length // 2,
            int(self.options["feature_size"]),
            0.0,
            _MAX_HERTZ,
            self.sampling_rate,
            "slaney",
            constant_energy=True,
        )
        used = padded[: (heard - 1) * hop + length]
        mel = np.full((num_frames, filters.shape[1]), np.log10(_FLOOR))
        np.log10(mel_spectrogram(used, periodic_hann(length), hop, filters, floor=_FLOOR), out=mel[:heard])
        np.maximum(mel, mel.max() - _RANGE, out=mel)
        return np.ascontiguousarray(((mel + 4.0) / 4.0).T, dtype=np.float32)


def _end(mask: NDArray[np.int32]) -> int:
    """Where the last sample ends that is no filling."""
    return int(len(mask) - mask[::-1].argmax())
