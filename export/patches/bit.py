"""BiT: a border of zeros before the largest of each window is taken.

ONNX Runtime (1.31) makes a border part of the pooling that follows, which then ignores it: right for -∞, wrong for 0.
"""

from __future__ import annotations

from typing import Any

import torch

from .base import Method, Patch


def _with_joined_border(original: Method) -> Method:
    def forward(self: Any, pixel_values: torch.Tensor) -> torch.Tensor:
        """The stem; its border is joined to the image instead of padded."""
        embedding: torch.Tensor = self.convolution(pixel_values)
        if isinstance(self.pad, torch.nn.ConstantPad2d):
            embedding = _bordered(_bordered(embedding, 2), 3)
        pooled: torch.Tensor = self.pooler(self.norm(embedding))
        return pooled

    return forward


def _bordered(values: torch.Tensor, axis: int) -> torch.Tensor:
    """The values with a zero before and after them on an axis."""
    zeros = torch.zeros_like(values.narrow(axis, 0, 1))
    return torch.cat([zeros, values, zeros], dim=axis)


PATCHES = (Patch("bit.modeling_bit", "BitEmbeddings", "forward", _with_joined_border),)
