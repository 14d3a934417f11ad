"""CPM-Ant: a mask made from a Python list as long as the text."""

from __future__ import annotations

from typing import Any

import torch

from .base import Method, Patch


def _mask(original: Method) -> Method:
    def _prepare_attention_mask(
        self: Any, input_ids: torch.Tensor, span: torch.Tensor, context: torch.Tensor, length: torch.Tensor
    ) -> torch.Tensor:
        """(batch, length, length) bool: the prompt and the last ``length`` tokens of each row see what they may."""
        seq_length = input_ids.shape[1]
        positions = torch.arange(seq_length)
        is_earlier = positions <= positions[:, None]
        is_seen = (context[:, None, :] != 0) | ((context[:, :, None] == 0) & is_earlier)
        is_seen = is_seen & (span[:, None, :] == span[:, :, None])
        is_token = (positions < self.prompt_length) | (seq_length - 1 - positions < length[:, None])
        return is_token[:, :, None] & is_token[:, None, :] & is_seen

    return _prepare_attention_mask


PATCHES = (Patch("cpmant.modeling_cpmant", "CpmAntModel", "_prepare_attention_mask", _mask),)
