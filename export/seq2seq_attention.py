"""Attention of an encoder-decoder's decoder: beams of one input share the encoder's keys and values."""

from __future__ import annotations

from typing import Any

import torch

from .attention import additive_attention
from .fusions.cross_attention import OPERATOR
from .seq2seq_cache import TracedCache


class CrossSharingAttention:
    """The attention implementation of one traced call of a decoder.

    Cross-attention takes its keys and values once per encoder row, however many decoder rows continue from it: rows
    that belong to one encoder row lie next to one another and are attended together. While tracing it is one operator,
    which :class:`.fusions.cross_attention.CrossAttention` writes out.

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
        return shared_cross_attention(
            query, key, value, attention_mask, kwargs.get("scaling"), kwargs.get("softcap")
        ), None


def no_attention(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **kwargs: Any
) -> tuple[torch.Tensor, None]:
    """Zeros (batch, seq, heads, head_dim), for layers whose output nobody reads."""
    batch, heads, seq, _ = query.shape
    return query.new_zeros(batch, seq, heads, value.shape[-1]), None


def shared_cross_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
) -> torch.Tensor:
    """Write the operator that stands for cross-attention on shared rows.

    Args:
        query: (batch, heads, seq, head_dim) float, where batch is a multiple of encoder_batch.
        key: (encoder_batch, kv_heads, encoder_seq, head_dim) float; ``value`` alike.
        mask: (encoder_batch, 1, 1, encoder_seq) float, added to the scores; None for no mask.
        scaling: factor of the scores; default 1 / sqrt(head_dim).
        softcap: scores become ``softcap * tanh(scores / softcap)``; None for no cap.

    Returns:
        (batch, seq, heads, head_dim) float.
    """
    batch, heads, seq, head_dim = query.shape
    attributes: dict[str, int | float] = {
        "scale": float(head_dim**-0.5 if scaling is None else scaling),
        "heads": heads,
        "kv_heads": key.shape[1],
        "key_dim": head_dim,
        "value_dim": value.shape[-1],
    }
    if softcap is not None:
        attributes["softcap"] = float(softcap)
    return torch.onnx.ops.symbolic(
        OPERATOR,
        (query, key, value) if mask is None else (query, key, value, mask),
        attributes,
        dtype=query.dtype,
        shape=(batch, seq, heads, value.shape[-1]),
        version=1,
    )
