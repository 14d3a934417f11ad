"""Attention of an encoder-decoder's decoder: beams of one input share the encoder's keys and values."""

from __future__ import annotations

from typing import Any

import torch

from .attention import additive_attention
from .seq2seq_cache import Pair, TracedCache


class CrossSharingAttention:
    """The attention implementation of one traced call of a decoder.

    Cross-attention takes its keys and values once per encoder row, however many decoder rows continue from it: rows
    that belong to one encoder row lie next to one another and are attended together.

    Args:
        cache: the call's cache; cross-attention calls are recognised by its keys.
    """

    def __init__(self, cache: TracedCache) -> None:
        self.cross_keys = [key for key, _ in cache.cross_attention_cache.states.values()]
        self.num_calls = 0

    def __call__(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        """Attend; (batch, heads, seq, head_dim) in, (batch, seq, heads, head_dim) out."""
        self.num_calls += 1
        if not any(key is cross_key for cross_key in self.cross_keys):
            return additive_attention(module, query, key, value, attention_mask, **kwargs)
        # T5's layers hand on a bias of zeros here: no cross-attention has positions.
        kwargs.pop("position_bias", None)
        return _attend_shared(module, query, (key, value), attention_mask, **kwargs), None


def _attend_shared(
    module: torch.nn.Module,
    query: torch.Tensor,
    states: Pair,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> torch.Tensor:
    batch, heads, seq, head_dim = query.shape
    encoder_batch = states[0].shape[0]
    rows_per_input = batch // encoder_batch
    torch._check(rows_per_input * encoder_batch == batch)
    # (encoder_batch, heads, rows_per_input * seq, head_dim)
    grouped = query.reshape(encoder_batch, rows_per_input, heads, seq, head_dim).transpose(1, 2)
    grouped = grouped.reshape(encoder_batch, heads, rows_per_input * seq, head_dim)
    output, _ = additive_attention(module, grouped, *states, attention_mask, **kwargs)
    # (encoder_batch, rows_per_input * seq, heads, head_dim) → (batch, seq, heads, head_dim)
    return output.reshape(batch, seq, heads, output.shape[-1])
