"""DBRX and LongCat: experts, which the models run in a loop over those that some token has chosen."""

from __future__ import annotations

from typing import Any

import torch

from .base import Method, Patch


def _dbrx_experts(original: Method) -> Method:
    def forward(
        self: Any, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
    ) -> torch.Tensor:
        """Every token (batch, length, hidden) through the weights of its own experts, (tokens, chosen) each."""
        tokens = hidden_states.reshape(-1, self.hidden_size)
        w1, v1, w2 = (
            weight.view(-1, self.ffn_hidden_size, self.hidden_size)[top_k_index]
            for weight in (self.mlp.w1, self.mlp.v1, self.mlp.w2)
        )
        inner = self.mlp.activation_fn(_multiply(w1, tokens[:, None])) * _multiply(v1, tokens[:, None])
        outputs = _multiply(w2.transpose(-1, -2), inner)
        return (outputs * top_k_weights[..., None]).sum(dim=1).view_as(hidden_states)

    return forward


def _longcat_experts(original: Method) -> Method:
    def forward(
        self: Any, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
    ) -> torch.Tensor:
        """Every token (tokens, hidden) through its own experts; those past the last one give the token itself."""
        if self.gate_up_proj is None:
            return original(self, hidden_states, top_k_index, top_k_weights)
        is_identity = top_k_index >= self.num_routed_experts
        chosen = top_k_index.clamp(max=self.num_routed_experts - 1)
        gate, up = _multiply(self.gate_up_proj[chosen], hidden_states[:, None]).chunk(2, dim=-1)
        outputs = _multiply(self.down_proj[chosen], self.act_fn(gate) * up)
        outputs = torch.where(is_identity[..., None], hidden_states[:, None], outputs)
        return (outputs * top_k_weights[..., None]).sum(dim=1)

    return forward


def _multiply(matrices: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """(…, rows, columns) times (…, columns)."""
    return (matrices @ vectors.unsqueeze(-1)).squeeze(-1)


PATCHES = (
    Patch("dbrx.modeling_dbrx", "DbrxExperts", "forward", _dbrx_experts),
    Patch("longcat_flash.modeling_longcat_flash", "LongcatFlashExperts", "forward", _longcat_experts),
)
