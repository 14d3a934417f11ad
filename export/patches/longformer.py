"""Longformer and LED: local and global attention, which the models compute over lists of the global tokens' places.

Here every query sees every key through a mask, which gives the same and can be traced; it takes memory by the square of
the length, as other encoders do.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from .base import Method, Patch

_LONGFORMER, _LED = "longformer.modeling_longformer", "led.modeling_led"


def _masked_attention(original: Method) -> Method:
    def forward(
        self: Any,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        is_index_masked: torch.Tensor | None = None,
        is_index_global_attn: torch.Tensor | None = None,
        is_global_attn: bool | None = None,
        output_attentions: bool = False,
    ) -> Any:
        """Attend to a window, and to tokens that are global; those attend everywhere, by projections of their own.

        hidden_states (batch, length, hidden); is_index_masked and is_index_global_attn (batch, length) bool.
        """
        if output_attentions or is_index_masked is None or is_index_global_attn is None:
            return original(
                self, hidden_states, attention_mask, is_index_masked, is_index_global_attn, is_global_attn, True
            )
        positions = torch.arange(hidden_states.shape[1])
        is_near = (positions[:, None] - positions[None, :]).abs() <= self.one_sided_attn_window_size
        # (batch, 1, queries, keys)
        is_key = ~is_index_masked[:, None, None, :]
        is_seen = is_key & (is_near | is_index_global_attn[:, None, None, :])
        local = _attend(self, hidden_states, is_seen, (self.query, self.key, self.value))
        local = local.masked_fill(is_index_masked[:, None, :, None], 0.0)
        everywhere = _attend(self, hidden_states, is_key, (self.query_global, self.key_global, self.value_global))
        attended = torch.where(is_index_global_attn[:, None, :, None], everywhere, local)
        return (attended.transpose(1, 2).flatten(2),)

    return forward


def _attend(module: Any, hidden_states: torch.Tensor, is_seen: torch.Tensor, projections: Any) -> torch.Tensor:
    """(batch, heads, length, head_dim) from (batch, length, hidden)."""
    query, key, value = (
        project(hidden_states).unflatten(-1, (module.num_heads, module.head_dim)).transpose(1, 2)
        for project in projections
    )
    scores = (query / math.sqrt(module.head_dim)) @ key.transpose(2, 3)
    return torch.softmax(scores.masked_fill(~is_seen, torch.finfo(scores.dtype).min), dim=-1) @ value


def _no_padding(original: Method) -> Method:
    def pad_to_window_size(
        self: Any,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor,
        inputs_embeds: torch.Tensor | None,
        pad_token_id: int,
        **others: Any,
    ) -> Any:
        """The inputs as they are: attention through a mask takes any length."""
        if not others:
            return 0, input_ids, attention_mask, inputs_embeds
        return 0, input_ids, attention_mask, others["token_type_ids"], others["position_ids"], inputs_embeds

    return pad_to_window_size


def _first_separator(original: Method) -> Method:
    def get_question_end_index(input_ids: torch.Tensor, sep_token_id: int) -> torch.Tensor:
        """(batch,): where each row of (batch, length) has its first separator."""
        return (input_ids == sep_token_id).long().argmax(dim=1)

    return get_question_end_index


def _global_choices(original: Method) -> Method:
    def forward(
        self: Any,
        input_ids: torch.Tensor,
        *others: Any,
        global_attention_mask: torch.Tensor | None = None,
        **named: Any,
    ) -> Any:
        """The model, given which tokens of (batch, choices, length) are global, which it finds choice by choice."""
        if global_attention_mask is None:
            is_separator = input_ids == self.config.sep_token_id
            first = is_separator.long().argmax(dim=-1, keepdim=True)
            global_attention_mask = torch.arange(input_ids.shape[-1]) > first + 1
        return original(self, input_ids, *others, global_attention_mask=global_attention_mask, **named)

    return forward


PATCHES = (
    Patch(_LONGFORMER, "LongformerForMultipleChoice", "forward", _global_choices),
    Patch(_LONGFORMER, "LongformerSelfAttention", "forward", _masked_attention),
    Patch(_LONGFORMER, "LongformerModel", "_pad_to_window_size", _no_padding),
    Patch(_LONGFORMER, None, "_get_question_end_index", _first_separator),
    Patch(_LED, "LEDEncoderSelfAttention", "forward", _masked_attention),
    Patch(_LED, "LEDEncoder", "_pad_to_window_size", _no_padding),
)
