"""Example images that come as flattened patches, of any aspect ratio: what SigLIP 2 takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

_TRACE_GRIDS = ((3, 5), (4, 2))
_OTHER_GRIDS = ((2, 3), (5, 2), (1, 7))


@dataclass(frozen=True)
class PatchInputs:
    """Makes rows of flattened patches, their mask, and the grid each row's patches form.

    Args:
        width: numbers in a patch, channels × patch height × patch width.
        batch_axis: name of the first axis.
    """

    width: int
    batch_axis: str = "batch_size"
    max_length: None = None
    names: ClassVar[tuple[str, ...]] = ("pixel_values", "pixel_attention_mask", "spatial_shapes")
    computed_axes: ClassVar[Mapping[int, str]] = {1: "num_patches"}

    @classmethod
    def of(cls, config: Any) -> PatchInputs:
        """Patches of the size that a config says."""
        vision = getattr(config, "vision_config", None) or config
        return cls(vision.num_channels * vision.patch_size**2)

    def build(self, lengths: list[int], seed: int = 0) -> dict[str, torch.Tensor]:
        """An image of ``length`` rows of patches, three in each, for every length."""
        return self._of_grids(tuple((length, 3) for length in lengths), seed)

    def axes(self) -> dict[str, tuple[str, ...]]:
        """Input → names of its axes; an empty name stands for a fixed size."""
        return {
            "pixel_values": (self.batch_axis, "num_patches", ""),
            "pixel_attention_mask": (self.batch_axis, "num_patches"),
            "spatial_shapes": (self.batch_axis, ""),
        }

    def trace_example(self) -> dict[str, torch.Tensor]:
        """Inputs to trace with: one row is padded."""
        return self._of_grids(_TRACE_GRIDS, 0)

    def other_example(self) -> dict[str, torch.Tensor]:
        """Inputs that differ from the trace example in every size that may change."""
        return self._of_grids(_OTHER_GRIDS, 1)

    def verification_cases(self) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
        """Named cases: one patch, wide and tall images, and a batch of different ones."""
        cases = {
            "batch 1, one patch": ((1, 1),),
            "batch 1, 16 × 16 patches": ((16, 16),),
            "batch 2, wide and tall": ((2, 30), (20, 3)),
            "batch 3, of different sizes": ((9, 7), (4, 4), (1, 11)),
        }
        for seed, (name, grids) in enumerate(cases.items()):
            yield name, self._of_grids(grids, seed + 2)

    def fixed(self) -> None:
        """None: any grid is part of what such a model is for."""

    def _of_grids(self, grids: tuple[tuple[int, int], ...], seed: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        shapes = torch.tensor(grids)
        counts = shapes.prod(1)
        mask = torch.arange(int(counts.max()))[None, :] < counts[:, None]
        values = torch.randn((*mask.shape, self.width), generator=generator) * mask[..., None]
        return {"pixel_values": values, "pixel_attention_mask": mask.long(), "spatial_shapes": shapes}
