"""DeepSeek-V2 and Llama 4: rotary angles as complex numbers, which ONNX has no operators for."""

from __future__ import annotations

from typing import Any

import torch

from .base import Method, Patch


def _angles(original: Method) -> Method:
    def forward(self: Any, x: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
        """Cosine and sine of every position (batch, sequence) and frequency, (batch, sequence, head_dim / 2, 2)."""
        if self.rope_type in ("dynamic", "longrope"):
            # The original chooses frequencies by the length, and refuses to be traced.
            return original(self, x, position_ids)
        angles = position_ids[..., None].float() * self.inv_freq.float()
        return torch.stack([torch.cos(angles), torch.sin(angles)], dim=-1) * self.attention_scaling

    return forward


def _rotation(heads_axis: int) -> Any:
    def replace(original: Method) -> Method:
        def apply_rotary_emb(
            xq: torch.Tensor, xk: torch.Tensor, freqs_cis: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            """Rotate neighbouring channels (2i, 2i+1) of queries and keys."""
            if freqs_cis.is_complex():
                return original(xq, xk, freqs_cis)
            cos, sin = freqs_cis.unsqueeze(heads_axis).unbind(dim=-1)
            return _rotated(xq, cos, sin), _rotated(xk, cos, sin)

        return apply_rotary_emb

    return replace


def _rotated(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    even, odd = states.float().unflatten(-1, (-1, 2)).unbind(dim=-1)
    rotated = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return rotated.flatten(-2).type_as(states)


PATCHES = (
    Patch("deepseek_v2.modeling_deepseek_v2", "DeepseekV2RotaryEmbedding", "forward", _angles),
    Patch("deepseek_v2.modeling_deepseek_v2", None, "apply_rotary_emb", _rotation(heads_axis=1)),
    Patch("llama4.modeling_llama4", "Llama4TextRotaryEmbedding", "forward", _angles),
    Patch("llama4.modeling_llama4", None, "apply_rotary_emb", _rotation(heads_axis=2)),
)
