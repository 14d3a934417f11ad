"""Example audio: waveforms and spectrograms, for tracing and the cases of verification.

Which of them a model takes, and which lengths, is found by running it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import torch
from transformers import PreTrainedModel

from headway.runtime.errors import ExportError

from .trial_run import failure_of

_MEL_SIZES = ("feature_projection_input_dim", "num_mel_bins", "input_feat_per_channel", "feature_size", "input_dim")
# An odd number of frames: models that put frames in pairs then pad, which is right for even numbers too.
_TRACE_STEPS = 12
# Features are as wide as the first layer that takes them, wherever it stands among the model's layers.
_LINEARS_TRIED = 8


@dataclass(frozen=True)
class AudioLayout:
    """What one row of audio looks like.

    Args:
        name: the input: ``input_values`` or ``input_features``.
        axes: names of the axes after the batch; an empty name stands for a fixed size.
        sizes: of these axes; where an axis is named, the size of the shortest input and that of one step more.
    """

    name: str
    axes: tuple[str, ...]
    sizes: tuple[int | tuple[int, int], ...]

    @property
    def time_axis(self) -> int | None:
        """Index of the axis that changes with the length, in a row; None where every row has one length."""
        return next((index for index, axis in enumerate(self.axes) if axis), None)

    def length(self, steps: int) -> int | None:
        """Length of the time axis for a number of steps."""
        index = self.time_axis
        size = None if index is None else self.sizes[index]
        return size[0] + (steps - 1) * size[1] if isinstance(size, tuple) else None

    def shape(self, length: int | None) -> tuple[int, ...]:
        """Sizes of a row of a length."""
        return tuple(size if isinstance(size, int) else int(length or size[0]) for size in self.sizes)


@dataclass(frozen=True)
class AudioInputs:
    """Makes audio that a model accepts.

    Args:
        config: the model's configuration.
        layout: of a row.
        names: the graph's inputs, the audio first; ``attention_mask`` (batch, length) where the outputs depend on it.
    """

    config: Any
    layout: AudioLayout
    names: tuple[str, ...]
    max_length: int | None = None
    computed_axes: ClassVar[Mapping[int, str]] = {1: "num_output_frames"}

    def build(self, lengths: list[int], seed: int = 0) -> dict[str, torch.Tensor]:
        """Rows of audio, padded with zeros at their ends.

        Args:
            lengths: of each row, in steps: 1 is the shortest that the model takes.
        """
        generator = torch.Generator().manual_seed(seed)
        sizes = [self.layout.length(steps) for steps in lengths]
        longest = max(size for size in sizes if size is not None) if self.layout.time_axis is not None else None
        values = torch.randn((len(lengths), *self.layout.shape(longest)), generator=generator)
        inputs = {self.layout.name: values}
        if "attention_mask" in self.names and longest is not None:
            mask = torch.arange(longest)[None, :] < torch.tensor(sizes)[:, None]
            trailing = [1] * (values.dim() - 2)
            inputs[self.layout.name] = values * mask.reshape(*mask.shape, *trailing)
            inputs["attention_mask"] = mask.long()
        return inputs

    def axes(self) -> dict[str, tuple[str, ...]]:
        """Input → names of its axes; an empty name stands for a fixed size."""
        axes = {self.layout.name: ("batch_size", *self.layout.axes)}
        if "attention_mask" in self.names:
            axes["attention_mask"] = ("batch_size", self.layout.axes[self.layout.time_axis or 0])
        return axes

    def trace_example(self) -> dict[str, torch.Tensor]:
        """Inputs to trace with: no axis has size one, one row is padded."""
        return self.build([_TRACE_STEPS, _TRACE_STEPS - 4])

    def other_example(self) -> dict[str, torch.Tensor]:
        """Inputs that differ from the trace example in every size that may change."""
        return self.build([5, 9, 6], seed=1)

    def verification_cases(self) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
        """Named cases: the shortest, batches, ragged rows, and a long one."""
        if self.layout.time_axis is None:
            for seed, batch_size in enumerate((1, 3, 4)):
                yield f"batch {batch_size}", self.build([1] * batch_size, seed=seed + 1)
            return
        cases = {
            "batch 1, the shortest": [1],
            "batch 1, 8 steps": [8],
            "batch 3, ragged": [13, 3, 6],
            "batch 4, 17 steps": [17] * 4,
            "batch 2, one row half padded": [64, 32],
            "batch 1, 150 steps": [150],
        }
        for seed, (name, lengths) in enumerate(cases.items()):
            yield name, self.build(lengths, seed=seed + 1)

    def fixed(self) -> None:
        """None: a length that may change is never given up."""


def probe_audio_inputs(model: PreTrainedModel, name: str) -> AudioInputs:
    """Find the audio that a model takes by running it.

    Args:
        name: the model's main input.

    Raises:
        ExportError: the model runs on none.
    """
    error: Exception | None = None
    for layout in layouts_of(model, name):
        inputs = AudioInputs(model.config, layout, (name,))
        failure = failure_of(model, inputs.trace_example())
        if failure is None:
            return inputs
        error = error or failure
    raise ExportError(f"{type(model).__name__} does not run on audio alone ({type(error).__name__}: {error}).")


def layouts_of(model: PreTrainedModel, name: str) -> Iterator[AudioLayout]:
    """What the config says a row looks like, most telling first."""
    config = model.config
    strides, kernels = getattr(config, "conv_stride", None), getattr(config, "conv_kernel", None)
    if isinstance(strides, (list, tuple)) and isinstance(kernels, (list, tuple)):
        step, shortest = math.prod(strides), _receptive_field(kernels, strides)
        yield AudioLayout(name, ("num_samples",), ((max(shortest, step) + step, step),))
    encoder = getattr(config, "encoder_config", None) or config
    widths = [getattr(encoder, size) for size in _MEL_SIZES if isinstance(getattr(encoder, size, None), int)]
    linears = (module.in_features for module in model.modules() if isinstance(module, torch.nn.Linear))
    for mels in dict.fromkeys([*widths, *islice(linears, _LINEARS_TRIED)]):
        frames, positions = getattr(config, "max_length", None), getattr(config, "max_source_positions", None)
        if name == "input_values" and isinstance(frames, int):
            yield AudioLayout(name, ("", ""), (frames, mels))
        if isinstance(positions, int):
            yield AudioLayout(name, ("", ""), (mels, 2 * positions))
        yield AudioLayout(name, ("num_frames", ""), ((16, 8), mels))


def _receptive_field(kernels: Any, strides: Any) -> int:
    """Samples that the first output of a stack of convolutions sees."""
    field = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        field = (field - 1) * stride + kernel
    return field
