"""Example texts and images together: for models with a tower for each, such as CLIP."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch

from .image_inputs import ImageInputs
from .inputs import InputBuilder
from .patch_inputs import PatchInputs

_TEXT_AXES = ("text_batch_size", "sequence_length")


@dataclass(frozen=True, kw_only=True)
class ImageTextInputs(InputBuilder):
    """Makes texts, and images of which there is one more than texts.

    Args:
        images: makes the images.
    """

    images: ImageInputs | PatchInputs

    @classmethod
    def of(cls, texts: InputBuilder, images: ImageInputs | PatchInputs) -> ImageTextInputs:
        """Texts and images, each with a batch axis of its own."""
        values = {field.name: getattr(texts, field.name) for field in fields(texts)}
        values["task"] = replace(texts.task, axes=_TEXT_AXES)
        return cls(**values, images=replace(images, batch_axis="image_batch_size"))

    def build(self, lengths: list[int], choices: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        """A text for each length, and the images."""
        texts = super().build(lengths, seed=seed)
        return {**texts, **self.images.build([*lengths, 1], seed=seed)}

    def axes(self) -> dict[str, tuple[str, ...]]:
        """Input → names of its axes; an empty name stands for a fixed size."""
        texts = super().build([2])
        return {**{name: self._axes_of(name, tensor.dim()) for name, tensor in texts.items()}, **self.images.axes()}
