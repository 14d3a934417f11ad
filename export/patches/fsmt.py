"""FSMT: a mask of the target's padding, which the model leaves out where there is none."""

from __future__ import annotations

import torch

from .base import Method, Patch


def _mask(original: Method) -> Method:
    def make_padding_mask(input_ids: torch.Tensor, padding_idx: int = 1) -> torch.Tensor:
        """Where ids (batch, length) are padding; a mask that hides nothing is the same as none."""
        return input_ids.eq(padding_idx)

    return make_padding_mask


PATCHES = (Patch("fsmt.modeling_fsmt", None, "make_padding_mask", _mask),)
