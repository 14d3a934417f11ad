"""Audio to labels with scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..audio.waveforms import Waveform
from ..batching import require_limit
from ..errors import InputError, OptionError
from ..models import Model
from .audio import AudioPipeline, load_feature_extractor
from .base import Parts
from .encode import CutLog
from .feature_batches import Row, in_order, run_rows
from .options import CommonOptions
from .progress import Progress
from .text_classification import SCORE_FUNCTIONS, labelled
from .windows import Window

_DEFAULT_TOP_K = 5


@dataclass(frozen=True)
class AudioClassificationOptions(CommonOptions):
    """Options of audio classification.

    Args:
        top_k: how many labels to give, best first; None gives all.
        function_to_apply: ``"sigmoid"``, ``"softmax"`` or ``"none"``; None takes what the config calls for.
    """

    top_k: int | None = _DEFAULT_TOP_K
    function_to_apply: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_limit("top_k", self.top_k)
        if self.function_to_apply is not None and str(self.function_to_apply).lower() not in SCORE_FUNCTIONS:
            raise OptionError(
                f"function_to_apply is {self.function_to_apply!r}; allowed are {', '.join(SCORE_FUNCTIONS)}, or None."
            )


class AudioClassificationPipeline(AudioPipeline[AudioClassificationOptions, list[Row]]):
    """Labels of a piece of audio: ``[{"label", "score"}]``, best first; a list of them gives a list.

    Source of the format: ``AudioClassificationPipeline`` of transformers 5.23.
    """

    model_task = "audio-classification"
    options_type = AudioClassificationOptions

    @classmethod
    def build(cls, model: Model, parts: Parts, task: str, options: Mapping[str, Any]) -> Self:
        """A pipeline with the feature extractor that was given, or else the model's own."""
        return cls(model, load_feature_extractor(parts.feature_extractor, model), task, options)

    def prepare(self, window: Window, options: AudioClassificationOptions, cuts: CutLog) -> list[Row]:
        """Load and prepare the audio of a window."""
        return [self._row(waveform, window.name(index)) for index, waveform in enumerate(self.waveforms(window))]

    def complete(self, prepared: list[Row], options: AudioClassificationOptions, progress: Progress) -> Sequence[Any]:
        """Labels and scores of each piece."""
        names = ["logits"] if "logits" in self.model.session.output_names else None
        batches = run_rows(self.model, prepared, names, options.batch_size, progress)
        logits = np.stack(in_order(batches, len(prepared)))  # (pieces, labels)
        function = options.function_to_apply or self._score_function()
        return labelled(SCORE_FUNCTIONS[function.lower()](logits), self.model.config.id2label, options.top_k)

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
