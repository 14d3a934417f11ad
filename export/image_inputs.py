"""Example images: for tracing, and the cases of verification. Which sizes a model takes is found by running it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from transformers import PreTrainedModel

from headway.runtime.errors import ExportError

from .tasks import Task

_DEFAULT_SIDE, _DEFAULT_CHANNELS = 224, 3
# Other sizes that are tried, as what is added to height and width: whole patches, then odd.
_GROWTHS = ((32, 64), (7, 18))


@dataclass(frozen=True)
class ImageInputs:
    """Makes images that a model accepts.

    Args:
        channels: of an image.
        height, width: in pixels, what the config says or the usual.
        is_dynamic: whether the graph takes other heights and widths too.
        num_frames: frames of a video; None for an image.
        names: the graph's inputs.
    """

    channels: int
    height: int
    width: int
    is_dynamic: bool = False
    num_frames: int | None = None
    names: tuple[str, ...] = ("pixel_values",)
    max_length: int | None = None
    computed_axes: ClassVar[Mapping[int, str]] = {1: "num_patches", 2: "feature_height", 3: "feature_width"}

    def build(self, lengths: list[int], seed: int = 0, grown: tuple[int, int] = (0, 0)) -> dict[str, torch.Tensor]:
        """Images (batch, channels, height, width) float32, as many as ``lengths`` has entries.

        Args:
            grown: pixels added to height and width.
        """
        generator = torch.Generator().manual_seed(seed)
        frames = () if self.num_frames is None else (self.num_frames,)
        shape = (len(lengths), *frames, self.channels, self.height + grown[0], self.width + grown[1])
        return {"pixel_values": torch.randn(shape, generator=generator)}

    def axes(self) -> dict[str, tuple[str, ...]]:
        """Input → names of its axes; an empty name stands for a fixed size."""
        frames = () if self.num_frames is None else ("",)
        sides = ("height", "width") if self.is_dynamic else ("", "")
        return {"pixel_values": ("batch_size", *frames, "", *sides)}

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

    def fixed(self) -> ImageInputs:
        """The same for a graph that takes one size only."""
        return replace(self, is_dynamic=False)


def probe_image_inputs(model: PreTrainedModel, task: Task) -> ImageInputs:
    """Find the images that a model takes by running it.

    Raises:
        ExportError: the model runs on none.
    """
    config = getattr(model.config, "vision_config", None) or model.config
    height, width = _size(config)
    channels = _integer(config, ("num_channels", "in_channels", "in_chans"), _DEFAULT_CHANNELS)
    frames = getattr(config, "num_frames", None)
    inputs = ImageInputs(channels, height, width, num_frames=frames if isinstance(frames, int) else None)
    error = _failure(model, inputs.build([1, 1]))
    if error is not None:
        raise ExportError(
            f"{type(model).__name__} does not run on images of {height} × {width} ({type(error).__name__}: {error})."
        )
    takes_others = any(_failure(model, inputs.build([1, 1], grown=grown)) is None for grown in _GROWTHS)
    return replace(inputs, is_dynamic=takes_others)


def left_out_arguments(model: PreTrainedModel, names: tuple[str, ...]) -> tuple[str, ...]:
    """Arguments of the model's forward that bring data and that the graph does not take."""
    parameters = inspect.signature(model.forward).parameters
    return tuple(name for name in parameters if name in _FURTHER_INPUTS and name not in names)


_FURTHER_INPUTS = ("pixel_mask", "bool_masked_pos", "pixel_attention_mask", "spatial_shapes", "input_ids")


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


def _failure(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> Exception | None:
    try:
        with torch.no_grad():
            model(**inputs, return_dict=True)
    except Exception as error:
        # The model's own code judges its inputs, in its own ways.
        return error
    return None
