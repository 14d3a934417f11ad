"""What the encoder of a speech model takes: found out by running it, since no config says it in one way."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from transformers import PreTrainedModel

from headway.runtime.errors import ExportError

from .audio_inputs import AudioInputs, AudioLayout
from .seq2seq_spec import encoder_of

SPEECH_KEY = "speech-seq2seq"  # of tasks.TASKS

# What configurations call the size of one frame of features.
_FRAME_SIZES = (
    "feature_projection_input_dim",
    "num_mel_bins",
    "input_feat_per_channel",
    "feature_size",
    "input_dim",
    "d_model",
)
# Samples of the shortest waveform tried, and of one step more, where the config tells no strides.
_SAMPLES, _SAMPLES_STEP = 2560, 640
_FRAMES, _FRAMES_STEP = 24, 16


def speech_inputs(model: PreTrainedModel) -> AudioInputs:
    """Inputs of the encoder of an encoder-decoder that listens.

    Raises:
        ExportError: the model runs on no audio that Headway makes.
    """
    error: Exception | None = None
    for layout in _layouts(model):
        inputs = AudioInputs(model.config, layout, (layout.name,))
        try:
            alone = _logits(model, inputs.build([9, 9]))
        except Exception as failure:
            # The model's own code judges its inputs, in its own ways.
            error = error or failure
            continue
        masked = replace(inputs, names=(layout.name, "attention_mask"))
        return masked if _reads_mask(model, masked, alone) else inputs
    why = f"{type(error).__name__}: {error}" if error else "its encoder takes no input_values and no input_features"
    raise ExportError(f"{type(model).__name__} does not run on speech and decoder tokens alone ({why}).")


def _layouts(model: PreTrainedModel) -> Iterator[AudioLayout]:
    """What a row may look like, most telling first."""
    config = getattr(encoder_of(model), "config", model.config)
    for name in _input_names(model):
        if name == "input_values":
            yield AudioLayout(name, ("num_samples",), (_samples(config),))
            continue
        for size in dict.fromkeys(_frame_sizes(config)):
            positions = getattr(config, "max_source_positions", None)
            if isinstance(positions, int):
                # Whisper's window: two frames for each position, always all of them.
                yield AudioLayout(name, ("", ""), (size, 2 * positions))
            yield AudioLayout(name, ("num_frames", ""), ((_FRAMES, _FRAMES_STEP), size))
            yield AudioLayout(name, ("", "num_frames"), (size, (_FRAMES, _FRAMES_STEP)))


def _input_names(model: PreTrainedModel) -> list[str]:
    encoder = encoder_of(model)
    parameters = inspect.signature(encoder.forward).parameters
    names = [name for name in ("input_values", "input_features") if name in parameters]
    first = getattr(encoder, "main_input_name", None)
    return sorted(names, key=lambda name: name != first)


def _samples(config: Any) -> tuple[int, int]:
    """Samples of the shortest waveform, and of one step more."""
    strides = getattr(config, "conv_stride", None)
    if not isinstance(strides, (list, tuple)):
        return _SAMPLES, _SAMPLES_STEP
    step = math.prod(strides) * 2 ** int(getattr(config, "num_adapter_layers", 0) or 0)
    return max(4 * step, _SAMPLES // 2), step


def _frame_sizes(config: Any) -> Iterator[int]:
    channels = getattr(config, "input_channels", 1) or 1
    for name in _FRAME_SIZES:
        size = getattr(config, name, None)
        if isinstance(size, int):
            yield size * channels if name == "input_feat_per_channel" else size


def _logits(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    first_token = torch.zeros(len(next(iter(inputs.values()))), 1, dtype=torch.long)
    with torch.no_grad():
        return model(**inputs, decoder_input_ids=first_token, return_dict=True).logits


def _reads_mask(model: PreTrainedModel, inputs: AudioInputs, alone: torch.Tensor) -> bool:
    """Whether hiding the end of a row changes what the model says."""
    if inputs.layout.time_axis is None:
        return False
    given = inputs.build([9, 9])
    mask = torch.ones_like(given["attention_mask"])
    mask[0, mask.shape[1] // 2 :] = 0
    try:
        return not torch.equal(_logits(model, {**given, "attention_mask": mask}), alone)
    except Exception:
        # Its own code refuses a mask.
        return False
