"""Kaldi's log-mel filter banks: Speech2Text, SeamlessM4T and wav2vec2-BERT, and the Audio Spectrogram Transformer.

Source: transformers 5.23, the numpy path of models/speech_to_text, seamless_m4t and audio_spectrogram_transformer,
feature_extraction_*.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError
from .feature_extractor import FeatureExtractor
from .mel import mel_filters
from .padding import Array, Padding
from .spectrogram import mel_spectrogram
from .waveforms import Waveform

# A frame of 25 ms every 10 ms at 16 kHz, in a transform of the next power of two.
_FRAME, _HOP, _TRANSFORM = 400, 160, 512
_FLOOR = 1.192092955078125e-07
_16_BIT = 2.0**15


class FilterbankFeatures(FeatureExtractor):
    """A feature extractor over frames of log-mel filter banks."""

    window: ClassVar[NDArray[np.float64]]
    scale: ClassVar[float] = _16_BIT
    """Factor of the samples; Kaldi's are 16-bit numbers."""

    def filterbank(self, waveform: Waveform) -> NDArray[np.float32]:
        """(frames, num_mel_bins) float32."""
        if len(waveform) < _FRAME:
            raise InputError(f"The audio has {len(waveform)} samples; {_FRAME} are needed for one frame.")
        rate, bins = self.sampling_rate, int(self.options["num_mel_bins"])
        filters = mel_filters(1 + _TRANSFORM // 2, bins, 20.0, rate // 2, rate, "kaldi", in_mel_space=True)
        mel = mel_spectrogram(
            waveform * np.float32(self.scale),
            self.window,
            _HOP,
            filters,
            num_bins_doubled=_TRANSFORM,
            preemphasis=0.97,
            remove_offset=True,
            floor=_FLOOR,
        )
        return np.log(mel).astype(np.float32)


class Speech2TextFeatureExtractor(FilterbankFeatures):
    """``input_features`` (batch, frames, num_mel_bins) float32, each bin normalised over the row."""

    defaults: ClassVar = {
        "feature_size": 80,
        "num_mel_bins": 80,
        "dither": 0.0,
        "do_ceptral_normalize": True,
        "normalize_means": True,
        "normalize_vars": True,
    }
    main_input = "input_features"
    window = np.hanning(_FRAME) ** 0.85

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__({"return_attention_mask": True, **(options or {})})
        if self.options["dither"]:
            raise OptionError(f"dither={self.options['dither']} adds noise, so no result repeats; only 0.0 is allowed.")

    def extract(
        self, waveforms: Sequence[Waveform], padding: Padding, with_mask: bool, options: Mapping[str, Any]
    ) -> dict[str, list[Array]]:
        """Filter banks, filled up, then normalised over what is no filling."""
        rows, masks = padding([self.filterbank(waveform) for waveform in waveforms])
        if options["do_ceptral_normalize"]:
            lengths = [int(mask.sum()) for mask in masks]
            rows = [self._normalized(row, length, options) for row, length in zip(rows, lengths, strict=True)]
        features = {self.main_input: rows}
        return {**features, "attention_mask": list(masks)} if with_mask else features

    def _normalized(self, row: Array, length: int, options: Mapping[str, Any]) -> Array:
        if options["normalize_means"]:
            row = row - row[:length].mean(axis=0)
        if options["normalize_vars"]:
            row = row / row[:length].std(axis=0)
        row[length:] = options["padding_value"]
        return row.astype(np.float32)


class SeamlessM4TFeatureExtractor(FilterbankFeatures):
    """``input_features`` (batch, frames / stride, num_mel_bins * stride) float32: neighbouring frames side by side."""

    defaults: ClassVar = {
        "feature_size": 80,
        "num_mel_bins": 80,
        "stride": 2,
        "do_normalize_per_mel_bins": True,
    }
    main_input = "input_features"
    default_padding = True
    default_multiple = 2
    window = np.hanning(_FRAME) ** 0.85

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__({"return_attention_mask": True, **(options or {})})

    def extract(
        self, waveforms: Sequence[Waveform], padding: Padding, with_mask: bool, options: Mapping[str, Any]
    ) -> dict[str, list[Array]]:
        """Filter banks, normalised, filled up, and frames put side by side."""
        banks = [self.filterbank(waveform) for waveform in waveforms]
        if options["do_normalize_per_mel_bins"]:
            banks = [(bank - bank.mean(0)) / np.sqrt(bank.var(0, ddof=1) + 1e-7) for bank in banks]
        rows, masks = padding(banks)
        stride = int(options["stride"])
        kept = [len(row) - len(row) % stride for row in rows]
        cut = [row[:length].astype(np.float32, copy=False) for row, length in zip(rows, kept, strict=True)]
        features: dict[str, list[Array]] = {self.main_input: [row.reshape(len(row) // stride, -1) for row in cut]}
        if with_mask:
            features["attention_mask"] = [mask[:length][1::stride] for mask, length in zip(masks, kept, strict=True)]
        return features


class ASTFeatureExtractor(FilterbankFeatures):
    """``input_values`` (batch, max_length, num_mel_bins) float32, cut or filled up to ``max_length`` frames."""

    defaults: ClassVar = {
        "num_mel_bins": 128,
        "max_length": 1024,
        "do_normalize": True,
        "mean": -4.2677393,
        "std": 4.5689974,
    }
    main_input = "input_values"
    window = np.hanning(_FRAME)
    scale = 1.0

    def extract(
        self, waveforms: Sequence[Waveform], padding: Padding, with_mask: bool, options: Mapping[str, Any]
    ) -> dict[str, list[Array]]:
        """Filter banks of one length, with the mean and deviation of the training data taken out."""
        rows = [self._of_one_length(self.filterbank(waveform), int(options["max_length"])) for waveform in waveforms]
        if options["do_normalize"]:
            rows = [((row - options["mean"]) / (options["std"] * 2)).astype(np.float32) for row in rows]
        return {self.main_input: list(rows)}

    def _of_one_length(self, bank: NDArray[np.float32], length: int) -> NDArray[np.float32]:
        return np.pad(bank[:length], ((0, max(0, length - len(bank))), (0, 0)))
