"""Doge: only the keys with the largest gates are attended to, which the model decides by the length."""

from __future__ import annotations

from typing import Any

import torch

from .base import Method, Patch


def _dynamic_mask(original: Method) -> Method:
    def prepare_dynamic_mask(
        self: Any,
        hidden_states: torch.Tensor,
        dt_states: torch.Tensor,
        keep_window_size: int = 2048,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The ``keep_window_size`` largest gates (batch, heads, keys) that a query may see, or all there are."""
        length = dt_states.shape[-1]
        # Windows longer than any text keep everything: the original then adds nothing but the gates.
        gates = original(self, hidden_states, dt_states, 1 << 62, attention_mask)
        kept = torch.topk(gates, torch.sym_min(keep_window_size, length), dim=-1).indices
        active = torch.zeros_like(gates).scatter(-1, kept, 1.0)
        return gates.masked_fill(active == 0.0, torch.finfo(gates.dtype).min)

    return prepare_dynamic_mask


PATCHES = (Patch("doge.modeling_doge", "DogeAttention", "prepare_dynamic_mask", _dynamic_mask),)
