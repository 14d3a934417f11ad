"""Decoders whose attention does not go through the interface: traced as they are, with a cache that grows.

The graph takes an attention mask over past and new tokens and gives each layer's keys and values with the new ones
appended. It is slower than :mod:`.decoder_trace` (the cache is copied in every step), and fits nearly every model.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir
import torch
from transformers import DynamicCache, PreTrainedModel

from .attention import attention_implementation
from .conversion import convert_program
from .decoder_cache import RefusedError
from .decoder_experts import experts_as_operators
from .decoder_norms import norms_as_operators
from .decoder_trace import logits_at

_BATCH, _SEQUENCE, _PAST, _LOGITS = 2, 5, 7, 3


@dataclass(frozen=True)
class GrowingTrace:
    """A traced graph and the names of its parts; its axes have torch's names still."""

    graph: onnx_ir.Model
    axes: Mapping[str, tuple[str, ...]]
    output_names: list[str]


class GrowingGraph(torch.nn.Module):
    """A causal language model as a function of ids, a mask and the past.

    Args:
        model: the language model, in evaluation mode.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.takes_positions = "position_ids" in inspect.signature(model.forward).parameters

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        logits_to_keep: torch.Tensor,
        past: list[torch.Tensor],
    ) -> tuple[torch.Tensor, ...]:
        """Logits (batch, num_logits, vocab) at the chosen positions, then every layer's longer keys and values."""
        cache = DynamicCache()
        for layer, (key, value) in enumerate(zip(past[::2], past[1::2], strict=True)):
            cache.update(key, value, layer)
        positions = {"position_ids": position_ids} if self.takes_positions else {}
        with logits_at(self.model, logits_to_keep):
            output = self.model(
                input_ids=input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True, **positions
            )
        return (output.logits, *(states for layer in cache.layers for states in (layer.keys, layer.values)))


def trace_growing_decoder(model: PreTrainedModel) -> GrowingTrace:
    """Trace a decoder as it is.

    Raises:
        RefusedError: it keeps something else than keys and values.
    """
    shapes = _state_shapes(model)
    inputs = {
        "input_ids": torch.zeros(_BATCH, _SEQUENCE, dtype=torch.long),
        "attention_mask": torch.ones(_BATCH, _PAST + _SEQUENCE, dtype=torch.long),
        "position_ids": torch.arange(_PAST, _PAST + _SEQUENCE).repeat(_BATCH, 1),
        "logits_to_keep": torch.zeros(_BATCH, _LOGITS, dtype=torch.long),
        "past": [torch.randn(_BATCH, heads, _PAST, head_dim) for heads, head_dim in shapes],
    }
    names = [f"{layer}.{kind}" for layer in range(len(shapes) // 2) for kind in ("key", "value")]
    axes = _AXES | {f"past_key_values.{name}": _PAST_AXES for name in names}
    output_names = ["logits", *(f"present.{name}" for name in names)]
    with (
        attention_implementation(model, "eager"),
        norms_as_operators(model),
        experts_as_operators(model),
        torch.no_grad(),
    ):
        program = torch.export.export(
            GrowingGraph(model), (), inputs, dynamic_shapes=_dynamic_shapes(len(shapes)), strict=False
        )
        graph = convert_program(program, inputs, list(axes), output_names)
    return GrowingTrace(graph, axes, output_names)


_AXES: dict[str, tuple[str, ...]] = {
    "input_ids": ("batch_size", "sequence_length"),
    "attention_mask": ("batch_size", "total_sequence_length"),
    "position_ids": ("batch_size", "sequence_length"),
    "logits_to_keep": ("batch_size", "num_logits"),
}
_PAST_AXES = ("batch_size", "", "past_sequence_length", "")


def _state_shapes(model: PreTrainedModel) -> list[tuple[int, int]]:
    """(heads, head_dim) of each layer's key and value, found by running one token."""
    cache = DynamicCache()
    with torch.no_grad():
        output = model(input_ids=torch.zeros(1, 1, dtype=torch.long), past_key_values=cache, use_cache=True)
    layers = getattr(output.past_key_values, "layers", None)
    if output.past_key_values is not cache or not layers:
        raise RefusedError("it does not keep its past in the cache it is given")
    states = [states for layer in layers for states in (getattr(layer, "keys", None), getattr(layer, "values", None))]
    if any(not isinstance(state, torch.Tensor) or state.dim() != 4 or state.shape[2] != 1 for state in states):
        raise RefusedError("its cache holds something else than keys and values per token")
    return [(state.shape[1], state.shape[3]) for state in states]


def _dynamic_shapes(num_states: int) -> Mapping[str, object]:
    dynamic = torch.export.Dim.DYNAMIC
    shapes: dict[str, object] = {name: {0: dynamic, 1: dynamic} for name in _AXES}
    return shapes | {"past": [{0: dynamic, 2: dynamic} for _ in range(num_states)]}
