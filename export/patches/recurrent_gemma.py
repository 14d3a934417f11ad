"""RecurrentGemma: a gated linear recurrence, in a loop as long as the text."""

from __future__ import annotations

from typing import Any

import torch

from .base import Method, Patch
from .scanning import is_any, scan


def _rnn_scan(original: Method) -> Method:
    def rnn_scan(
        self: Any,
        hidden_states: torch.Tensor,
        recurrent_gate: torch.Tensor,
        reset: torch.Tensor,
        recurrent_states: torch.Tensor | None,
        acc_dtype: torch.dtype = torch.float32,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states and gate (batch, length, width), reset (batch, length, 1), the state before (batch, width)."""
        if not is_any(hidden_states.shape[1]):
            arguments = (hidden_states, recurrent_gate, reset, recurrent_states, acc_dtype)
            return original(self, *arguments)  # type: ignore[no-any-return]
        gates = (recurrent_gate * ~reset).to(acc_dtype).transpose(0, 1)
        added = hidden_states.to(acc_dtype)
        state = torch.zeros_like(added[:, 0]) if recurrent_states is None else recurrent_states.to(acc_dtype)
        last_state, outputs = scan(_step, [state], [gates, added.transpose(0, 1)])
        return outputs.transpose(0, 1).to(hidden_states.dtype), last_state

    return rnn_scan


def _step(state: torch.Tensor, gate: torch.Tensor, added: torch.Tensor) -> list[torch.Tensor]:
    state = gate * state + added
    return [state, state.clone()]


PATCHES = (Patch("recurrent_gemma.modeling_recurrent_gemma", "RecurrentGemmaRglru", "_rnn_scan", _rnn_scan),)
