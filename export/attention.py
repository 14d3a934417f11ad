"""Attention for encoders, entered through transformers' AttentionInterface: products, one additive mask, softmax.

Written out because it is the fastest form on ONNX Runtime's CPU provider for these sizes. The mask is computed once
per graph, broadcasts over heads and queries, and is finite, so a row always has a softmax and needs no `Where`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import create_position_bias_mask, repeat_kv
from transformers.masking_utils import bidirectional_mask_function, causal_mask_function, eager_mask

INTERFACE_NAME = "headway_additive"

# Where a causal mask says, as a number, whether it hides padding too.
_IS_PADDED = "headway_is_padded"

_calls = 0
# Whether the model in hand runs in PyTorch through the attention that drops masks which hide nothing.
_drops_masks = False


def additive_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention with an additive mask.

    Args:
        query: (batch, heads, queries, head_dim).
        key, value: (batch, kv_heads, keys, head_dim).
        attention_mask: (batch, 1 or heads, 1 or queries, keys), added to the scores; None for no mask.
        scaling: factor of the scores; default 1 / sqrt(head_dim).

    Returns:
        (batch, queries, heads, head_dim) and None in place of the attention weights.
    """
    global _calls
    _calls += 1
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.matmul(query * scaling, key.transpose(2, 3))
    if kwargs.get("softcap") is not None:
        scores = torch.tanh(scores / kwargs["softcap"]) * kwargs["softcap"]
    if kwargs.get("position_bias") is not None:
        is_causal = bool(kwargs.get("is_causal", getattr(module, "is_causal", False)))
        attention_mask = create_position_bias_mask(kwargs["position_bias"], attention_mask, is_causal, query, key)
    if attention_mask is not None:
        scores = scores + _as_pytorch_applies(attention_mask, kwargs.get("is_causal"), module)
    weights = _softmax_beside(scores, kwargs.get("s_aux"))
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), None


def _as_pytorch_applies(mask: torch.Tensor, is_causal: bool | None, module: torch.nn.Module) -> torch.Tensor:
    """The mask; nothing where PyTorch drops a causal mask for want of padding, and the module then does not say so."""
    is_padded = getattr(mask, _IS_PADDED, None)
    if is_padded is None or (getattr(module, "is_causal", True) if is_causal is None else is_causal):
        return mask
    return mask * is_padded


def _softmax_beside(scores: torch.Tensor, sinks: torch.Tensor | None) -> torch.Tensor:
    """Softmax of (batch, heads, queries, keys) over the keys, which a score of each head's own takes part in."""
    if sinks is None:
        return torch.softmax(scores, dim=-1)
    column = sinks.to(scores.dtype).reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)
    return torch.softmax(torch.cat([scores, column], dim=-1), dim=-1)[..., :-1]


def additive_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    attention_mask: torch.Tensor | None = None,
    mask_function: Any = bidirectional_mask_function,
    dtype: torch.dtype = torch.float32,
    **kwargs: Any,
) -> torch.Tensor | None:
    """The mask that :func:`additive_attention` adds: (batch, 1, 1, keys) where only padding is masked."""
    if mask_function is bidirectional_mask_function:
        if attention_mask is None:
            return None
        # (batch, 1, 1, keys): 0 for a token, the smallest number for padding
        return (attention_mask[:, None, None, :].to(dtype) - 1.0) * torch.finfo(dtype).max
    # Rules are of indices, which broadcast; a trace cannot take the mapping over them.
    kwargs |= {"allow_is_bidirectional_skip": False, "use_vmap": False}
    mask = eager_mask(
        batch_size=batch_size,
        q_length=q_length,
        kv_length=kv_length,
        attention_mask=attention_mask,
        mask_function=mask_function,
        dtype=dtype,
        **kwargs,
    )
    if (
        _drops_masks
        and mask_function is causal_mask_function
        and kwargs.get("allow_is_causal_skip", True)
        and attention_mask is not None
    ):
        setattr(mask, _IS_PADDED, (~attention_mask.bool().all()).to(dtype))
    return mask


AttentionInterface.register(INTERFACE_NAME, additive_attention)
AttentionMaskInterface.register(INTERFACE_NAME, additive_mask)


@contextmanager
def attention_implementation(model: PreTrainedModel, name: str) -> Iterator[None]:
    """Run the model with another attention implementation, and put its own back."""
    global _drops_masks
    original = model.config._attn_implementation
    _drops_masks = original == "sdpa"
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(original)
        _drops_masks = False


class CallCounter:
    """Counts how often :func:`additive_attention` ran inside a ``with`` block, to see that a model really uses it."""

    def __enter__(self) -> CallCounter:
        self._start = _calls
        return self

    def __exit__(self, *exception: object) -> None:
        self.calls = _calls - self._start
