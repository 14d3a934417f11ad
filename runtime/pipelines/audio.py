"""What pipelines over audio share: a feature extractor, and audio from wherever it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..audio.auto import AutoFeatureExtractor
from ..audio.feature_extractor import FeatureExtractor
from ..audio.loading import load_audio
from ..audio.waveforms import Waveform
from ..models import Model
from .base import Options, Pipeline, Prepared
from .options import CommonOptions
from .parts import loaded_part
from .windows import Window


class AudioPipeline(Pipeline[Options, Prepared]):
    """Audio in, results out: load, resample, prepare, batch, run, decode.

    Audio is a path, the bytes of a file, an array (samples,) or (channels, samples) at the model's rate, or
    ``{"raw": samples, "sampling_rate": rate}``; ``"array"`` is another name for ``"raw"``.

    Args:
        model: the loaded head.
        feature_extractor: the feature extractor that belongs to it.
        task: the name the pipeline was asked for by.
        options: options for every call; a call may override them.
    """

    options_type: ClassVar[type[CommonOptions]] = CommonOptions
    accepted = "audio (a path, bytes, an array, or {'raw': samples, 'sampling_rate': rate})"
    item_unit = "recording"
    # As much audio is in memory twice: while one window runs the next is prepared.
    window_size = 16

    def __init__(
        self, model: Model, feature_extractor: FeatureExtractor, task: str, options: Mapping[str, Any]
    ) -> None:
        super().__init__(model, task, options)
        self.feature_extractor = feature_extractor

    def is_item(self, inputs: Any) -> bool:
        """Whether ``inputs`` is one piece of audio, not several."""
        is_array = isinstance(inputs, np.ndarray) and inputs.dtype != object
        return is_array or isinstance(inputs, str | os.PathLike | bytes | bytearray | memoryview | Mapping)

    def waveforms(self, window: Window) -> list[Waveform]:
        """(samples,) float32 of each item of a window, at the model's rate.

        Raises:
            InputError, InputTypeError: an item is no audio; the message names it.
        """
        rate = self.feature_extractor.sampling_rate
        return [load_audio(item, rate, name=window.name(index)) for index, item in enumerate(window.items)]

    def save_pretrained(self, folder: str | Path) -> None:
        """Copy model and feature extractor into ``folder``, so that a pipeline loads from there."""
        super().save_pretrained(folder)
        self.feature_extractor.save_pretrained(folder)


def load_feature_extractor(given: str | Path | FeatureExtractor | None, model: Model) -> FeatureExtractor:
    """The feature extractor that was given, or else the model's own; see :func:`.parts.loaded_part`."""
    return loaded_part("feature_extractor", given, FeatureExtractor, AutoFeatureExtractor, model)
