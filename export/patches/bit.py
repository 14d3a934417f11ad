"""BiT: weights standardised by a batch normalization in training mode, whose translation takes another variance."""

from __future__ import annotations

from typing import Any

import torch

from .base import Method, Patch


def _standardized_convolution(original: Method) -> Method:
    def forward(self: Any, hidden_state: torch.Tensor) -> torch.Tensor:
        """The convolution with weights of mean 0 and variance 1 for each output channel."""
        if self.pad is not None:
            hidden_state = self.pad(hidden_state)
        centered = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        variance = (centered * centered).mean(dim=(1, 2, 3), keepdim=True)
        weight = centered * torch.rsqrt(variance + self.eps)
        convolved: torch.Tensor = torch.nn.functional.conv2d(
            hidden_state, weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )
        return convolved

    return forward


PATCHES = (Patch("bit.modeling_bit", "WeightStandardizedConv2d", "forward", _standardized_convolution),)
