"""Example texts and audio together: for models with a tower for each, such as CLAP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from transformers import PreTrainedModel

from .audio_inputs import AudioInputs, AudioLayout, layouts_of
from .inputs import InputBuilder

_FEATURE_SIZES = ("num_mel_bins", "feature_size")
# Frames of audio that is cut to one length, far below any model's limit.
_NUM_FRAMES = 64


@dataclass(frozen=True, kw_only=True)
class AudioTextInputs(InputBuilder):
    """Makes texts, and as many rows of audio.

    Args:
        audio: makes the audio.
    """

    audio: AudioInputs

    @classmethod
    def of(cls, texts: InputBuilder, audio: AudioInputs) -> AudioTextInputs:
        """Texts and audio, with the batch axis in common."""
        return cls(**{field.name: getattr(texts, field.name) for field in fields(texts)}, audio=audio)

    def build(self, lengths: list[int], choices: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        """A text for each length, and audio of a few steps, more or fewer for another length."""
        texts = super().build(lengths, seed=seed)
        return {**texts, **self.audio.build([2 + length % 7 for length in lengths], seed=seed)}

    def axes(self) -> dict[str, tuple[str, ...]]:
        """Input → names of its axes; an empty name stands for a fixed size."""
        texts = super().build([2])
        return {**{name: self._axes_of(name, tensor.dim()) for name, tensor in texts.items()}, **self.audio.axes()}


def audio_beside_texts(model: PreTrainedModel, name: str) -> Iterator[AudioInputs]:
    """What the audio may look like that a model takes beside texts, most telling first."""
    for layout in (*layouts_of(model, name), *_spectrograms(model, name)):
        yield AudioInputs(model.config, layout, (name,))


def _spectrograms(model: PreTrainedModel, name: str) -> Iterator[AudioLayout]:
    """Features first, as convolutions take them, and spectrograms that are images of one channel."""
    parts = [getattr(model.config, part) for part in model.config.sub_configs]
    sizes = [getattr(part, size, None) for part in parts for size in _FEATURE_SIZES]
    for num_features in dict.fromkeys(size for size in sizes if isinstance(size, int)):
        yield AudioLayout(name, ("", "num_frames"), (num_features, (16, 8)))
        yield AudioLayout(name, ("", "", ""), (1, _NUM_FRAMES, num_features))
    if name == "input_values":
        yield AudioLayout(name, ("", "num_samples"), (1, (8000, 1600)))
