"""Audio to labels with scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from ..audio.waveforms import Waveform
from ..errors import InputError
from ..models import Model
from .audio import AudioPipeline, load_feature_extractor
from .base import Parts
from .encode import CutLog
from .feature_batches import Row
from .media_classification import MediaClassificationOptions, labels_of
from .progress import Progress
from .windows import Window


class AudioClassificationPipeline(AudioPipeline[MediaClassificationOptions, list[Row]]):
    """Labels of a piece of audio: ``[{"label", "score"}]``, best first; a list of them gives a list.

    Source of the format: ``AudioClassificationPipeline`` of transformers 5.23.
    """

    model_task = "audio-classification"
    options_type = MediaClassificationOptions

    @classmethod
    def build(cls, model: Model, parts: Parts, task: str, options: Mapping[str, Any]) -> Self:
        """A pipeline with the feature extractor that was given, or else the model's own."""
        return cls(model, load_feature_extractor(parts.feature_extractor, model), task, options)

    def prepare(self, window: Window, options: MediaClassificationOptions, cuts: CutLog) -> list[Row]:
        """Load and prepare the audio of a window."""
        return [self._row(waveform, window.name(index)) for index, waveform in enumerate(self.waveforms(window))]

    def complete(self, prepared: list[Row], options: MediaClassificationOptions, progress: Progress) -> Sequence[Any]:
        """Labels and scores of each piece."""
        names = ["logits"] if "logits" in self.model.session.output_names else None
        return labels_of(self.model, prepared, names, options, self._score_function(), progress)

    def _row(self, waveform: Waveform, name: str) -> Row:
        """The graph's inputs for one piece, by itself: padding would change what a model without a mask hears."""
        try:
            features = self.feature_extractor(waveform, sampling_rate=self.feature_extractor.sampling_rate)
        except InputError as error:
            raise type(error)(f"{name}: {error}") from error
        return {key: np.asarray(rows[0]) for key, rows in features.items()}

    def _score_function(self) -> str:
        problem_type = self.model.config.get("problem_type")
        by_type = {"regression": "none", "multi_label_classification": "sigmoid"}
        return by_type.get(str(problem_type), "softmax")
