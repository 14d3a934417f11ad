"""Conformers: a table of relative positions that grows with the longest audio so far, which a trace cuts off.

The positions of any length follow from the length alone.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from .base import Method, Patch


def _computed_positions(original: Method) -> Method:
    def forward(self: Any, hidden_states: torch.Tensor) -> torch.Tensor:
        """Sines and cosines of relative positions, largest first: (1, 2 * frames - 1, dim)."""
        frames = hidden_states.shape[1]
        positions = torch.arange(2 * frames - 1, device=hidden_states.device, dtype=hidden_states.dtype)
        positions = (frames - 1) - positions
        steps = torch.arange(0, self.d_model, 2, device=hidden_states.device, dtype=hidden_states.dtype)
        angles = positions[:, None] * torch.exp(steps * -(math.log(10000.0) / self.d_model))
        # Even channels hold sines, odd ones cosines.
        return torch.stack([torch.sin(angles), torch.cos(angles)], dim=-1).flatten(1)[None]

    return forward


PATCHES = tuple(
    Patch(module, f"{name}RelPositionalEmbedding", "forward", _computed_positions)
    for module, name in (
        ("wav2vec2_conformer.modeling_wav2vec2_conformer", "Wav2Vec2Conformer"),
        ("wav2vec2_bert.modeling_wav2vec2_bert", "Wav2Vec2Bert"),
        ("seamless_m4t.modeling_seamless_m4t", "SeamlessM4TConformer"),
    )
)
