"""Funnel: relative positions, which the model takes from Python lists as long as the text."""

from __future__ import annotations

from typing import Any

import torch

from .base import Method, Patch

_MODULE = "funnel.modeling_funnel"


def _no_position_lists(original: Method) -> Method:
    def get_position_embeds(self: Any, seq_len: int, dtype: torch.dtype, device: torch.device) -> Any:
        """Nothing for relative positions: :func:`_relative_positions` computes what it needs."""
        return original(self, seq_len, dtype, device) if self.config.attention_type == "factorized" else None

    return get_position_embeds


def _relative_positions(original: Method) -> Method:
    def relative_positional_attention(
        self: Any, position_embeds: Any, q_head: torch.Tensor, context_len: int, cls_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Scores (batch, heads, queries, keys) of query i at the distance ``offset + (shift * i - j) * stride``.

        Where queries are pooled and keys are not, queries are two keys apart.
        """
        if self.config.attention_type == "factorized":
            return original(self, position_embeds, q_head, context_len, cls_mask)
        length = q_head.shape[1]
        is_pooled = length != context_len
        shift, stride = (2, 2**self.block_index // 2) if is_pooled else (1, 2**self.block_index)
        offset = -stride if is_pooled and self.config.separate_cls else 0
        steps = torch.arange(shift * length + context_len, device=q_head.device)
        distances = offset + (shift * length - steps) * stride
        embeds = _sinusoids(distances.to(q_head.dtype), self.config.d_model)
        heads = torch.einsum("td,dnh->tnh", embeds, self.r_kernel)
        # (batch, heads, queries, steps)
        scores = torch.einsum("binh,tnh->bnit", q_head + self.r_r_bias * self.scale, heads)
        chosen = shift * (length - torch.arange(length)[:, None]) + torch.arange(context_len)[None, :]
        scores = scores.gather(3, chosen.expand(scores.shape[0], scores.shape[1], length, context_len))
        return scores if cls_mask is None else scores * cls_mask

    return relative_positional_attention


def _sinusoids(positions: torch.Tensor, width: int) -> torch.Tensor:
    """(positions,) → (positions, width): sines, then cosines."""
    frequencies = 1 / (10000 ** (torch.arange(0, width // 2, dtype=positions.dtype) / (width // 2)))
    angles = positions[:, None] * frequencies[None]
    return torch.cat([torch.sin(angles), torch.cos(angles)], dim=-1)


PATCHES = (
    Patch(_MODULE, "FunnelAttentionStructure", "get_position_embeds", _no_position_lists),
    Patch(_MODULE, "FunnelRelMultiheadAttention", "relative_positional_attention", _relative_positions),
)
