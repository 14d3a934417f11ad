"""RWKV: a weighted mean of all earlier values, carried from token to token in a loop as long as the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .base import Method, Patch
from .scanning import is_any, scan

_LOWEST = -1e38


def _linear_attention(original: Method) -> Method:
    def rwkv_linear_attention_cpu(
        time_decay: torch.Tensor,
        time_first: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        state: Sequence[torch.Tensor] | None = None,
        return_state: bool = False,
    ) -> Any:
        """Key and value (batch, length, width), decay and bonus of the newest token (width,)."""
        if not is_any(key.shape[1]):
            return original(time_decay, time_first, key, value, state, return_state)
        if state is None:
            zeros = torch.zeros_like(key[:, 0])
            before = [zeros, zeros.clone(), zeros + _LOWEST]
        else:
            before = list(state)
        steps = [key.transpose(0, 1), value.transpose(0, 1)]
        *after, outputs = scan(_step, before, steps, [-torch.exp(time_decay), time_first])
        return outputs.transpose(0, 1), (after if return_state or state is not None else None)

    return rwkv_linear_attention_cpu


def _step(
    numerator: torch.Tensor,
    denominator: torch.Tensor,
    largest: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    decay: torch.Tensor,
    bonus: torch.Tensor,
) -> list[torch.Tensor]:
    """One token: both sums are kept divided by exp(largest), (batch, width) all."""
    top = torch.maximum(largest, key + bonus)
    old, new = torch.exp(largest - top), torch.exp(key + bonus - top)
    output = (old * numerator + new * value) / (old * denominator + new)
    top = torch.maximum(largest + decay, key)
    old, new = torch.exp(largest + decay - top), torch.exp(key - top)
    return [old * numerator + new * value, old * denominator + new, top, output]


PATCHES = (Patch("rwkv.modeling_rwkv", None, "rwkv_linear_attention_cpu", _linear_attention),)
