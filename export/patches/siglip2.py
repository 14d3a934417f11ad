"""SigLIP 2: a grid of positions resized for each image of a batch, in a loop over sizes known only when it runs.

Resizing is linear, so one product with weights of rows and columns does all images at once.
"""

from __future__ import annotations

import torch

from .base import Method, Patch


def _resized_positions(original: Method) -> Method:
    def resize_positional_embeddings(
        positional_embeddings: torch.Tensor, spatial_shapes: torch.Tensor, max_length: int
    ) -> torch.Tensor:
        """Positions (batch, max_length, dim) of patches in row order; patches that pad take the first one's."""
        heights, widths = spatial_shapes[:, 0:1], spatial_shapes[:, 1:2]  # (batch, 1)
        patches = torch.arange(max_length)[None, :].expand(spatial_shapes.shape[0], -1)  # (batch, max_length)
        patches = torch.where(patches < heights * widths, patches, torch.zeros_like(patches))
        rows = torch.div(patches, widths, rounding_mode="floor")
        by_row = _weights(rows, heights, positional_embeddings.shape[0])
        by_column = _weights(patches - rows * widths, widths, positional_embeddings.shape[1])
        weights = by_row[..., :, None] * by_column[..., None, :]  # (batch, max_length, rows, columns)
        return weights.flatten(2) @ positional_embeddings.flatten(0, 1)

    return staticmethod(resize_positional_embeddings)  # type: ignore[return-value]


def _weights(index: torch.Tensor, size: torch.Tensor, source_size: int) -> torch.Tensor:
    """Share of every source cell in a resized one: torch's bilinear interpolation with antialiasing.

    Args:
        index: (batch, patches) of the cell in the resized axis.
        size: (batch, 1) cells of the resized axis.
        source_size: cells of the source axis.

    Returns:
        (batch, patches, source_size), the triangle filter of ATen's upsample_bilinear2d_aa.
    """
    scale = source_size / size.float()  # (batch, 1)
    support = scale.clamp(min=1.0)
    center = scale * (index.float() + 0.5)  # (batch, patches)
    cells = torch.arange(source_size).float() + 0.5
    distance = (cells - center[..., None]).abs() / support[..., None]
    weights = (1.0 - distance).clamp(min=0.0)
    return weights / weights.sum(-1, keepdim=True)


PATCHES = (
    Patch("siglip2.modeling_siglip2", "Siglip2VisionEmbeddings", "resize_positional_embeddings", _resized_positions),
)
