"""Example texts and images together: for models with a tower for each (CLIP) and of pairs (ViLT)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch

from .image_inputs import ImageInputs
from .inputs import InputBuilder
from .patch_inputs import PatchInputs

_TEXT_AXES = ("text_batch_size", "sequence_length")


@dataclass(frozen=True, kw_only=True)
class ImageTextInputs(InputBuilder):
    """Makes texts and images.

    Args:
        images: makes the images.
        is_paired: whether each text has its image; otherwise there is one image more than texts.
    """

    images: ImageInputs | PatchInputs
    is_paired: bool = False

    @classmethod
    def of(cls, texts: InputBuilder, images: ImageInputs | PatchInputs, is_paired: bool = False) -> ImageTextInputs:
        """Texts and images, each with a batch axis of its own unless they are paired."""
        values = {field.name: getattr(texts, field.name) for field in fields(texts)}
        if is_paired:
            return cls(**values, images=images, is_paired=True)
        values["task"] = replace(texts.task, axes=_TEXT_AXES)
        return cls(**values, images=replace(images, batch_axis="image_batch_size"))

    def build(self, lengths: list[int], choices: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        """A text for each length, and the images."""
        texts = super().build(lengths, seed=seed)
        return {**texts, **self.images.build(lengths if self.is_paired else [*lengths, 1], seed=seed)}

    def axes(self) -> dict[str, tuple[str, ...]]:
        """Input → names of its axes; an empty name stands for a fixed size."""
        texts = super().build([2])
        return {**{name: self._axes_of(name, tensor.dim()) for name, tensor in texts.items()}, **self.images.axes()}
