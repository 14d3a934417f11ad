"""Moonshine: the number of positions that samples become, which its code turns into a number of the trace."""

from __future__ import annotations

from typing import Any

from .base import Method, Patch

# Kernel and stride of each convolution.
_CONVOLUTIONS = ((127, 64), (7, 3), (3, 2))


def _output_lengths(original: Method) -> Method:
    def get_feat_extract_output_lengths(self: Any, input_lengths: Any) -> Any:
        """Positions after the three convolutions."""
        for kernel, stride in _CONVOLUTIONS:
            input_lengths = (input_lengths - kernel) // stride + 1
        return input_lengths

    return get_feat_extract_output_lengths


PATCHES = (
    Patch(
        "moonshine.modeling_moonshine", "MoonshinePreTrainedModel", "_get_feat_extract_output_lengths", _output_lengths
    ),
)
