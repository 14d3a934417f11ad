"""Example audio and prompts for language models that hear; what they take is found by running them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from headway.runtime.errors import ExportError

from .audio_inputs import AudioLayout
from .hearing import MASKED_VECTORS, TOKENS, audio_features, audio_inputs_of, audio_token_of, num_audio_tokens

Audio = Mapping[str, torch.Tensor]

_LOWEST_ID = 10
# Frames of the shortest audio, and of a step more: GLM-ASR joins eight of them to a vector.
_FRAMES = (64, 32)
# No multiple of anything, for models that fill up their last block.
_ODD_FRAMES = (61, 29)
# Tokens before and after the audio.
_BEFORE, _AFTER = 3, 4
_TRACE_STEPS = 3


@dataclass(frozen=True)
class Heard:
    """Audio of several rows, and prompts that have a place for each vector of it.

    Args:
        audio: what the encoder takes, by name.
        prompts: (tokens,) int64 of each row.
    """

    audio: Audio
    prompts: tuple[torch.Tensor, ...]

    def row(self, index: int) -> Heard:
        """One row alone."""
        audio = {name: tensor[index : index + 1] for name, tensor in self.audio.items()}
        if TOKENS in audio:
            audio[TOKENS] = self.prompts[index][None]
        return Heard(audio, (self.prompts[index],))


class HearingInputs:
    """Makes audio and prompts that a language model hears and reads.

    Args:
        model: a language model that hears.

    Raises:
        ExportError: it runs on no audio that Headway makes.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.names = audio_inputs_of(model)
        self.mask = next((name for name in self.names[1:] if name != TOKENS), None)
        self.token = audio_token_of(model)
        self.layout = self._runnable_layout()

    def build(self, lengths: list[int], seed: int = 0) -> Heard:
        """Audio of different lengths, in steps, and prompts around it."""
        return self._built(self.layout, lengths, seed)

    def trace_example(self) -> Audio:
        """Audio to trace the encoder with: no axis has size one, one row is padded."""
        return self.build([_TRACE_STEPS, _TRACE_STEPS - 1]).audio

    def axes(self) -> dict[str, tuple[str, ...]]:
        """Input of the encoder → names of its axes; an empty name stands for a fixed size."""
        axes: dict[str, tuple[str, ...]] = {self.layout.name: ("num_audios", *self.layout.axes)}
        frames = next((name for name in self.layout.axes if name), "")
        if self.mask:
            axes[self.mask] = ("num_audios", "num_audio_positions" if self._masks_vectors else frames)
        if TOKENS in self.names:
            axes[TOKENS] = ("batch_size", "sequence_length")
        return axes

    @property
    def _masks_vectors(self) -> bool:
        return self.model.config.model_type in MASKED_VECTORS

    def _runnable_layout(self) -> AudioLayout:
        error: Exception | None = None
        for layout in _layouts(self.model, self.names[0]):
            try:
                heard = self._built(layout, [_TRACE_STEPS, _TRACE_STEPS - 1], 0)
                with torch.no_grad():
                    self.model(**padded(heard.prompts), **{k: v for k, v in heard.audio.items() if k != TOKENS})
            except Exception as failure:
                # The model's own code judges its inputs, in its own ways.
                error = error or failure
            else:
                return layout
        raise ExportError(
            f"{type(self.model).__name__} runs on no audio that Headway makes ({type(error).__name__}: {error})."
        )

    def _built(self, layout: AudioLayout, lengths: list[int], seed: int) -> Heard:
        generator = torch.Generator().manual_seed(seed)
        audio = self._audio(layout, lengths, generator)
        rows = ({name: tensor[index : index + 1] for name, tensor in audio.items()} for index in range(len(lengths)))
        with torch.no_grad():
            counts = [num_audio_tokens(self.model, row) for row in rows]
        prompts = tuple(self._prompt(count, generator) for count in counts)
        return Heard({**audio, TOKENS: padded(prompts)["input_ids"]} if TOKENS in self.names else audio, prompts)

    def _audio(self, layout: AudioLayout, lengths: list[int], generator: torch.Generator) -> dict[str, torch.Tensor]:
        if self.mask is None:
            lengths = [max(lengths)] * len(lengths)
        time = 1 if layout.time_axis is None else layout.time_axis
        step = layout.sizes[time] if layout.time_axis is not None else _FRAMES
        valid = [step[0] + (steps - 1) * step[1] for steps in lengths]  # type: ignore[index]
        total = max(valid) if layout.time_axis is not None else int(layout.sizes[time])  # type: ignore[arg-type]
        values = torch.randn((len(valid), *layout.shape(total)), generator=generator)
        if self.mask is None:
            return {layout.name: values}
        mask = torch.arange(total)[None, :] < torch.tensor(valid)[:, None]
        values = values * mask.unsqueeze(2 - time)
        given = self._vector_mask(values, valid) if self._masks_vectors else mask.long()
        return {layout.name: values, self.mask: given}

    def _vector_mask(self, values: torch.Tensor, valid: list[int]) -> torch.Tensor:
        """(rows, vectors) of what is heard of each row alone, among what is heard of all padded."""
        with torch.no_grad():
            rows = ({self.names[0]: row[None, :length]} for row, length in zip(values, valid, strict=True))
            alone = [len(audio_features(self.model, row)) for row in rows]
        return torch.arange(max(alone))[None, :] < torch.tensor(alone)[:, None]

    def _prompt(self, num_places: int, generator: torch.Generator) -> torch.Tensor:
        text = torch.randint(_LOWEST_ID, 2 * _LOWEST_ID, (_BEFORE + _AFTER,), generator=generator)
        return torch.cat([text[:_BEFORE], torch.full((num_places,), self.token), text[_BEFORE:]])


def padded(prompts: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
    """``input_ids`` padded with zeros on the right, and ``attention_mask``."""
    ids = torch.nn.utils.rnn.pad_sequence(list(prompts), batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(prompt) for prompt in prompts], batch_first=True)
    return {"input_ids": ids, "attention_mask": mask}


def _layouts(model: PreTrainedModel, name: str) -> Iterator[AudioLayout]:
    """What the config says a row looks like, most telling first."""
    config: Any = getattr(model.config, "audio_config", None) or getattr(model.config, "encoder_config", None)
    mels, positions = getattr(config, "num_mel_bins", None), getattr(config, "max_source_positions", None)
    if isinstance(mels, int) and isinstance(positions, int):
        # Whisper's window: two frames for each position, always all of them.
        yield AudioLayout(name, ("", ""), (mels, 2 * positions))
    elif isinstance(mels, int):
        yield AudioLayout(name, ("", "num_frames"), (mels, _FRAMES))
        yield AudioLayout(name, ("num_frames", ""), (_ODD_FRAMES, mels))
    size = getattr(config, "input_dim", None)
    if isinstance(size, int):
        yield AudioLayout(name, ("num_frames", ""), (_ODD_FRAMES, size))
