"""Speech to text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from ..audio.feature_extractor import FeatureExtractor
from ..audio.waveforms import Waveform
from ..errors import InputError
from ..generation.seq2seq_speech import AutoModelForSpeechSeq2Seq
from ..models import Model
from ..tokenization.tokenizer import AutoTokenizer, Tokenizer
from .audio import AudioPipeline, load_feature_extractor
from .base import Parts
from .encode import CutLog
from .progress import Progress
from .speech_ctc import CtcRecognizer
from .speech_generation import GeneratingRecognizer, WhisperRecognizer
from .speech_options import SpeechOptions
from .windows import Window


class Recognizer(Protocol):
    """Waveforms to text, for one kind of model."""

    def check(self, options: SpeechOptions) -> None:
        """Raise OptionError where the options ask for what the model cannot give."""

    def __call__(
        self, waveforms: Sequence[Waveform], options: SpeechOptions, progress: Progress
    ) -> list[dict[str, Any]]:
        """``{"text"}`` of each waveform, with ``chunks`` where they are wanted."""


class AutomaticSpeechRecognitionPipeline(AudioPipeline[SpeechOptions, list[Waveform]]):
    """What was said: ``{"text"}``, with ``return_timestamps`` also ``chunks`` of ``{"text", "timestamp"}``.

    CTC heads, Whisper, and other encoder-decoders that listen; a list of audio gives a list. Source of the format:
    ``AutomaticSpeechRecognitionPipeline`` of transformers 5.23.
    """

    model_task = "automatic-speech-recognition"
    options_type = SpeechOptions

    def __init__(
        self,
        model: Model,
        feature_extractor: FeatureExtractor,
        tokenizer: Tokenizer,
        task: str,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__(model, feature_extractor, task, options)
        self.tokenizer = tokenizer
        self.recognizer = _recognizer(model, feature_extractor, tokenizer)
        self.recognizer.check(self.options)

    @classmethod
    def build(cls, model: Model, parts: Parts, task: str, options: Mapping[str, Any]) -> Self:
        """A pipeline with the feature extractor and tokenizer that were given, or else the model's own."""
        tokenizer = parts.tokenizer
        if not isinstance(tokenizer, Tokenizer):
            tokenizer = AutoTokenizer.from_pretrained(model.artifact.folder if tokenizer is None else tokenizer)
        return cls(model, load_feature_extractor(parts.feature_extractor, model), tokenizer, task, options)

    def merged(self, overrides: Mapping[str, Any]) -> SpeechOptions:
        """The pipeline's options with those of a call."""
        options = super().merged(overrides)
        self.recognizer.check(options)
        return options

    def prepare(self, window: Window, options: SpeechOptions, cuts: CutLog) -> list[Waveform]:
        """Load the audio of a window."""
        return self.waveforms(window)

    def complete(self, prepared: list[Waveform], options: SpeechOptions, progress: Progress) -> Sequence[Any]:
        """Text of each piece."""
        try:
            return self.recognizer(prepared, options, progress)
        except InputError as error:
            raise type(error)(f"The audio cannot be transcribed: {error}") from error

    def save_pretrained(self, folder: str | Path) -> None:
        """Copy model, feature extractor and tokenizer into ``folder``, so that a pipeline loads from there."""
        super().save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def _recognizer(model: Model, feature_extractor: FeatureExtractor, tokenizer: Tokenizer) -> Recognizer:
    if not isinstance(model, AutoModelForSpeechSeq2Seq):
        return CtcRecognizer(model, feature_extractor, tokenizer)
    kind = WhisperRecognizer if model.is_whisper else GeneratingRecognizer
    return kind(model, feature_extractor, tokenizer)
