"""Decoder attention, entered through transformers' AttentionInterface: one GroupQueryAttention per layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from .decoder_cache import MaskRule, PassThroughCache, RefusedError, mask_rule, traced_mask
from .operators import group_query_attention

INTERFACE_NAME = "headway_group_query"
# GroupQueryAttention takes head sizes that are multiples of this; smaller ones are padded with zeros.
HEAD_DIM_MULTIPLE = 8

# Arguments of attention calls that say nothing about which scores are computed from which tokens.
_HARMLESS = frozenset(
    {
        "cache_position",
        "cumulative_seqlens_k",
        "cumulative_seqlens_q",
        "dropout",
        "is_causal",
        "logits_to_keep",
        "num_items_in_batch",
        "output_attentions",
        "output_hidden_states",
        "output_router_logits",
        "position_embeddings",
        "position_ids",
        "return_dict",
        "sliding_window",
        "use_cache",
    }
)


@dataclass(frozen=True)
class LayerSpec:
    """What the attention of one layer keeps per token and how far it sees.

    Args:
        kv_heads: heads of its key and value buffers.
        head_dim: their size per head, as the operator takes it.
        window: how many latest tokens it sees, itself included; None for all.
    """

    kv_heads: int
    head_dim: int
    window: int | None = None


class DecoderAttention:
    """The attention implementation of one traced call, with the buffers it reads and the ones it returns.

    Args:
        layers: every layer's sizes.
        past: (key, value) per layer, each (batch, kv_heads, buffer, head_dim).
        seqlens_k: (batch,) int32.
        total_sequence_length: () int32.
    """

    def __init__(
        self,
        layers: Sequence[LayerSpec],
        past: Sequence[tuple[torch.Tensor, torch.Tensor]],
        seqlens_k: torch.Tensor,
        total_sequence_length: torch.Tensor,
    ) -> None:
        self.cache = PassThroughCache()
        self.layers = layers
        self.past = past
        self.present: list[tuple[torch.Tensor, torch.Tensor] | None] = [None] * len(past)
        self.seqlens_k = seqlens_k
        self.total_sequence_length = total_sequence_length

    def __call__(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: Any,
        scaling: float | None = None,
        softcap: float | None = None,
        s_aux: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        """Attend; (batch, heads, seq, head_dim) in, (batch, seq, heads, head_dim) out."""
        layer = self.cache.take_layer()
        spec, value_dim = self.layers[layer], value.shape[-1]
        past_key, past_value = self.past[layer]
        output, *present = group_query_attention(
            pad_head(query, spec.head_dim),
            pad_head(key, spec.head_dim),
            pad_head(value, spec.head_dim),
            past_key,
            past_value,
            self.seqlens_k,
            self.total_sequence_length,
            scale=query.shape[-1] ** -0.5 if scaling is None else scaling,
            local_window_size=spec.window,
            softcap=softcap,
            head_sink=s_aux,
        )
        self.present[layer] = (present[0], present[1])
        return (output if spec.head_dim == value_dim else output[..., :value_dim]), None


class AttentionProbe:
    """An attention implementation that attends to nothing, and notes what each layer was called with."""

    def __init__(self) -> None:
        self.cache = PassThroughCache()
        self.layers: dict[int, LayerSpec] = {}

    def __call__(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: Any,
        scaling: float | None = None,
        softcap: float | None = None,
        s_aux: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        """Note the layer's sizes; zeros (batch, seq, heads, head_dim) out."""
        _check_arguments(attention_mask, kwargs)
        head_dim = _operator_head_dim(query.shape[-1], value.shape[-1])
        self.layers[self.cache.take_layer()] = LayerSpec(key.shape[1], head_dim, attention_mask.window)
        batch, heads, seq, _ = query.shape
        return query.new_zeros(batch, seq, heads, value.shape[-1]), None


def layer_specs(model: PreTrainedModel) -> tuple[LayerSpec, ...]:
    """Sizes of every layer, found by running one token through the model.

    Raises:
        RefusedError: a layer's attention is not causal self-attention through the interface.
    """
    probe = AttentionProbe()
    one_token = torch.zeros(1, 1, dtype=torch.long)
    with torch.no_grad(), attend_through(model, probe, mask_rule):
        model(input_ids=one_token, position_ids=one_token, past_key_values=probe.cache, use_cache=True)
    layers = sorted(probe.layers)
    if not layers or layers != list(range(len(layers))):
        raise RefusedError(f"the layers that attend through the interface are {layers or 'none'}")
    return tuple(probe.layers[layer] for layer in layers)


def pad_head(states: torch.Tensor, head_dim: int) -> torch.Tensor:
    """Zeros appended to the last axis: they add nothing to query · key, and values of zero are cut off again."""
    missing = head_dim - states.shape[-1]
    return functional.pad(states, (0, missing)) if missing else states


@contextmanager
def attend_through(
    model: PreTrainedModel, attention: Callable[..., Any], mask: Callable[..., Any] = traced_mask
) -> Iterator[None]:
    """Run the model's attention through ``attention`` and its mask creation through ``mask`` inside the block."""
    original = model.config._attn_implementation
    AttentionInterface.register(INTERFACE_NAME, attention)
    AttentionMaskInterface.register(INTERFACE_NAME, mask)
    model.set_attn_implementation(INTERFACE_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(original)
        del AttentionInterface._global_mapping[INTERFACE_NAME]
        del AttentionMaskInterface._global_mapping[INTERFACE_NAME]


def _operator_head_dim(*head_dims: int) -> int:
    return -(-max(head_dims) // HEAD_DIM_MULTIPLE) * HEAD_DIM_MULTIPLE


def _check_arguments(attention_mask: Any, kwargs: dict[str, Any]) -> None:
    if not isinstance(attention_mask, MaskRule):
        raise RefusedError("an attention call has a mask of its own instead of the causal one")
    if attention_mask.refusal:
        raise RefusedError(attention_mask.refusal)
    unknown = [name for name, given in kwargs.items() if given is not None and name not in _HARMLESS]
    if unknown:
        raise RefusedError(f"its attention takes {', '.join(unknown)}")
