"""Granite Speech: attention within blocks, whose last one is filled up; the models do so only where it is not full."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from .base import Method, Patch


def _blocks(original: Method) -> Method:
    def forward(self: Any, hidden_states: torch.Tensor, attention_dists: torch.Tensor) -> torch.Tensor:
        """Attend within blocks of ``context_size`` frames, with Shaw's relative positions; (batch, frames, hidden).

        Frames that fill up the last block see nothing and are not seen.
        """
        states = self.pre_norm(hidden_states)
        batch, frames, hidden = states.shape
        size = self.context_size
        num_blocks = (frames + size - 1) // size
        # A block too much is cut off again, so that no size is told apart from another.
        states = torch.cat([states, states.new_zeros(batch, size, hidden)], dim=1)[:, : num_blocks * size]
        query, key, value = (
            part.unflatten(1, (num_blocks, size)).flatten(0, 1).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in (self.to_q(states), *self.to_kv(states).chunk(2, dim=-1))
        )
        bias = torch.einsum("bhcd,crd->bhcr", query, self.rel_pos_emb(attention_dists)) * self.scale
        is_frame = (torch.arange(num_blocks * size) < frames).view(num_blocks, size)
        is_seen = is_frame[:, None, :, None] & is_frame[:, None, None, :]  # (blocks, 1, queries, keys)
        bias = bias.masked_fill(~is_seen.repeat(batch, 1, 1, 1), -torch.finfo(bias.dtype).max)
        scores = query @ key.transpose(2, 3) * self.scale + bias
        attended = (torch.softmax(scores, dim=-1) @ value).transpose(1, 2).flatten(2)
        attended = attended.unflatten(0, (batch, num_blocks)).flatten(1, 2)
        output: torch.Tensor = self.to_out(attended[:, :frames])
        return functional.dropout(output, self.dropout.p, self.training)

    return forward


PATCHES = tuple(
    Patch(f"{name}.modeling_{name}", f"{family}ConformerAttention", "forward", _blocks)
    for name, family in (("granite_speech", "GraniteSpeech"), ("granite_speech_plus", "GraniteSpeechPlus"))
)
