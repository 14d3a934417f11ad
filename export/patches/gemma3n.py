"""Gemma 3n: the share of channels that stays is turned into a threshold by a distribution that cannot be traced."""

from __future__ import annotations

import statistics
from typing import Any

import torch

from .base import Method, Patch


def _threshold(original: Method) -> Method:
    def gaussian_topk(self: Any, inputs: torch.Tensor) -> torch.Tensor:
        """What is above the quantile of a normal distribution with each row's mean and spread; zero elsewhere."""
        num_deviations = statistics.NormalDist().inv_cdf(self.activation_sparsity)
        mean = inputs.mean(dim=-1, keepdim=True)
        spread = (inputs - mean).square().mean(dim=-1, keepdim=True).sqrt()
        return torch.relu(inputs - (mean + spread * num_deviations))

    return gaussian_topk


PATCHES = (Patch("gemma3n.modeling_gemma3n", "Gemma3nTextMLP", "_gaussian_topk", _threshold),)
