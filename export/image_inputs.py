"""Example images: for tracing, and the cases of verification. Which sizes a model takes is found by running it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from transformers import PreTrainedModel

from headway.runtime.errors import ExportError

from .trial_run import failure_of

_DEFAULT_SIDE, _DEFAULT_CHANNELS = 224, 3
# Other sizes that are tried, as what is added to height and width: whole patches, then odd.
_GROWTHS = ((32, 64), (7, 18))


@dataclass(frozen=True)
class ImageInputs:
    """Makes images that a model accepts.

    Args:
        name: the input, ``pixel_values``.
        channels: of an image.
        height, width: in pixels, what the config says or the usual.
        is_dynamic: whether the graph takes other heights and widths too.
        num_frames: frames of a video; None for an image.
        batch_axis: name of the first axis.
    """

    name: str
    channels: int
    height: int
    width: int
    is_dynamic: bool = False
    num_frames: int | None = None
    batch_axis: str = "batch_size"
    max_length: None = None
    computed_axes: ClassVar[Mapping[int, str]] = {1: "num_patches", 2: "feature_height", 3: "feature_width"}

    @property
    def names(self) -> tuple[str, ...]:
        """The graph's inputs."""
        return (self.name,)

    def build(self, lengths: list[int], seed: int = 0, grown: tuple[int, int] = (0, 0)) -> dict[str, torch.Tensor]:
        """Images (batch, channels, height, width) float32, as many as ``lengths`` has entries.

        Args:
            grown: pixels added to height and width.
        """
        generator = torch.Generator().manual_seed(seed)
        frames = () if self.num_frames is None else (self.num_frames,)
        shape = (len(lengths), *frames, self.channels, self.height + grown[0], self.width + grown[1])
        return {self.name: torch.randn(shape, generator=generator)}

    def axes(self) -> dict[str, tuple[str, ...]]:
        """Input → names of its axes; an empty name stands for a fixed size."""
        frames = () if self.num_frames is None else ("",)
        sides = ("height", "width") if self.is_dynamic else ("", "")
        return {self.name: (self.batch_axis, *frames, "", *sides)}

    def trace_example(self) -> dict[str, torch.Tensor]:
        """Inputs to trace with."""
        return self.build([1, 1], grown=_GROWTHS[0] if self.is_dynamic else (0, 0))

    def other_example(self) -> dict[str, torch.Tensor]:
        """Inputs that differ from the trace example in every size that may change."""
        return self.build([1, 1, 1], seed=1)

    def verification_cases(self) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
        """Named cases: batches, and where they may differ other heights and widths."""
        size = f"{self.height} × {self.width}"
        for seed, batch_size in enumerate((1, 3, 4)):
            yield f"batch {batch_size}, {size}", self.build([1] * batch_size, seed=seed + 1)
        for seed, grown in enumerate(_GROWTHS if self.is_dynamic else ()):
            name = f"batch 2, {self.height + grown[0]} × {self.width + grown[1]}"
            yield name, self.build([1, 1], seed=seed + 5, grown=grown)

    def fixed(self) -> ImageInputs | None:
        """The same for a graph that takes one height and width only; None where that is so already."""
        return replace(self, is_dynamic=False) if self.is_dynamic else None


def probe_image_inputs(model: PreTrainedModel, name: str) -> ImageInputs:
    """Find the images that a model takes by running it.

    Args:
        name: the model's main input.

    Raises:
        ExportError: the model runs on none.
    """
    inputs = image_inputs_of(model.config, name)
    error = failure_of(model, inputs.build([1, 1]))
    if error is not None and inputs.num_frames is not None:
        inputs = replace(inputs, num_frames=None)
        error = failure_of(model, inputs.build([1, 1])) and error
    if error is not None:
        raise ExportError(
            f"{type(model).__name__} does not run on images of {inputs.height} × {inputs.width} "
            f"({type(error).__name__}: {error})."
        )
    grows = not _has_attention(model.config) and all(
        failure_of(model, inputs.build([1, 1], grown=grown)) is None for grown in _GROWTHS
    )
    return replace(inputs, is_dynamic=grows)


def _has_attention(config: Any) -> bool:
    """Whether the model attends: its windows and tables of positions belong to one size, even where it takes others."""
    return any(hasattr(config, name) for name in ("num_attention_heads", "num_heads", "vision_config"))


def image_inputs_of(config: Any, name: str) -> ImageInputs:
    """Images of the size that a config says, or of the usual."""
    vision = getattr(config, "vision_config", None) or config
    height, width = _size(vision)
    channels = _integer(vision, ("num_channels", "in_channels", "in_chans"), _DEFAULT_CHANNELS)
    frames = getattr(vision, "num_frames", None)
    return ImageInputs(name, channels, height, width, num_frames=frames if isinstance(frames, int) else None)


def _size(config: Any) -> tuple[int, int]:
    value = getattr(config, "image_size", None) or getattr(config, "input_size", None)
    if isinstance(value, Mapping):
        value = (value.get("height"), value.get("width"))
    if isinstance(value, int):
        return value, value
    if isinstance(value, (list, tuple)) and len(value) >= 2:
        return int(value[-2]), int(value[-1])
    return _DEFAULT_SIDE, _DEFAULT_SIDE


def _integer(config: Any, names: tuple[str, ...], default: int) -> int:
    values = (getattr(config, name, None) for name in names)
    return next((value for value in values if isinstance(value, int)), default)
