"""Waveforms that go into the model as they are, or normalised: wav2vec2 and its kin, Moonshine, SpeechT5.

Source: transformers 5.23, models/wav2vec2/feature_extraction_wav2vec2.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .feature_extractor import FeatureExtractor, normalized
from .padding import Array, Padding
from .waveforms import Waveform


class Wav2Vec2FeatureExtractor(FeatureExtractor):
    """``input_values`` (batch, samples) float32, with mean 0 and variance 1 where ``do_normalize`` says so."""

    defaults: ClassVar = {"do_normalize": True}
    main_input = "input_values"

    def extract(
        self, waveforms: Sequence[Waveform], padding: Padding, with_mask: bool, options: Mapping[str, Any]
    ) -> dict[str, list[Array]]:
        """Fill up, and normalise each waveform by itself."""
        rows, masks = padding(waveforms)
        if options["do_normalize"]:
            # Without a mask the model hears the filling, so that it counts.
            lengths = [int(mask.sum()) if with_mask and padding.pads else len(mask) for mask in masks]
            rows = [normalized(row, length, padding.value) for row, length in zip(rows, lengths, strict=True)]
        features = {self.main_input: rows}
        return {**features, "attention_mask": list(masks)} if with_mask else features


class SpeechT5FeatureExtractor(Wav2Vec2FeatureExtractor):
    """``input_values`` (batch, samples) float32 of SpeechT5, which hears waveforms as they are."""

    defaults: ClassVar = {"do_normalize": False}

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__({"return_attention_mask": True, **(options or {})})
