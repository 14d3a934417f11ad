"""CANINE: characters attend within blocks of 128, which the model cuts in a Python loop over the length."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from .base import Method, Patch

_MODULE = "canine.modeling_canine"


def _attention_in_blocks(original: Method) -> Method:
    def forward(
        self: Any, hidden_states: torch.Tensor, attention_mask: torch.Tensor, output_attentions: bool = False
    ) -> Any:
        """All blocks at once; the last is filled up with masked characters.

        hidden_states (batch, characters, hidden); attention_mask (batch, characters, characters) of ones and zeros,
        the same in every row, where attention is local.
        """
        if not self.local or self.first_position_attends_to_all or self.always_attend_to_first_position:
            return original(self, hidden_states, attention_mask, output_attentions)
        batch, length, hidden = hidden_states.shape
        block = self.attend_from_chunk_width
        missing = -length % block
        blocks = functional.pad(hidden_states, (0, 0, 0, missing)).reshape(-1, block, hidden)
        # (batch * blocks, block, block)
        mask = functional.pad(attention_mask[:, 0, :], (0, missing)).reshape(-1, 1, block).expand(-1, block, -1)
        attended = self.self(blocks, blocks, mask)[0].reshape(batch, length + missing, hidden)[:, :length]
        return (self.output(attended, hidden_states),)

    return forward


def _repeated_molecules(original: Method) -> Method:
    def repeat_molecules(self: Any, molecules: torch.Tensor, char_seq_length: int) -> torch.Tensor:
        """Each molecule (batch, molecules, hidden) but the first for its characters, the last for what is left."""
        rate = self.config.downsampling_rate
        batch, _, hidden = molecules.shape
        repeated = molecules[:, 1:].repeat_interleave(rate, dim=1)
        last = molecules[:, -1:].expand(batch, char_seq_length % rate + rate, hidden)
        return torch.cat([repeated, last], dim=1)

    return repeat_molecules


def _downsampled_mask(original: Method) -> Method:
    def downsample_attention_mask(self: Any, char_attention_mask: torch.Tensor, downsampling_rate: int) -> torch.Tensor:
        """A molecule (batch, molecules) counts where one of its characters (batch, characters) does."""
        batch, length = char_attention_mask.shape
        molecules = length // downsampling_rate
        whole = char_attention_mask[:, : molecules * downsampling_rate]
        return whole.reshape(batch, molecules, downsampling_rate).float().amax(dim=-1)

    return downsample_attention_mask


PATCHES = (
    Patch(_MODULE, "CanineAttention", "forward", _attention_in_blocks),
    Patch(_MODULE, "CanineModel", "_downsample_attention_mask", _downsampled_mask),
    Patch(_MODULE, "CanineModel", "_repeat_molecules", _repeated_molecules),
)
