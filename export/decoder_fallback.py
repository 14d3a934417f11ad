"""Decoders whose attention does not go through the interface: traced as they are, with a cache that grows.

The graph takes an attention mask over past and new tokens, and gives each state with the new tokens taken in. It is
slower than :mod:`.decoder_trace` (the cache is copied in every step), and fits nearly every model. A model with a
recurrent state computes one token otherwise than many, so its graph takes one at a time.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import onnx_ir
import torch
from transformers import PreTrainedModel

from .attention import attention_implementation
from .conversion import convert_program
from .decoder_experts import experts_as_operators
from .decoder_norms import norms_as_operators
from .decoder_positions import first_position, positions_at
from .decoder_states import StateTemplate
from .decoder_trace import logits_at

_BATCH, _SEQUENCE, _PAST, _LOGITS = 2, 5, 7, 3


@dataclass(frozen=True)
class GrowingTrace:
    """A traced graph and the names of its parts; its axes have torch's names still."""

    graph: onnx_ir.Model
    axes: Mapping[str, tuple[str, ...]]
    output_names: list[str]


class GrowingGraph(torch.nn.Module):
    """A causal language model as a function of ids, a mask and its states.

    Args:
        model: the language model, in evaluation mode.
        template: what it keeps.
    """

    def __init__(self, model: PreTrainedModel, template: StateTemplate) -> None:
        super().__init__()
        self.model = model
        self.template = template
        self.first_position = first_position(model)
        # Without an entry per token there is nothing to mask: padding never reaches such a graph.
        masked = {"attention_mask"} if any(leaf.growing_axis is not None for leaf in template.leaves) else set()
        wanted = {"position_ids", template.argument} | masked
        self.accepted = wanted & set(inspect.signature(model.forward).parameters)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        logits_to_keep: torch.Tensor | None,
        past: list[torch.Tensor],
    ) -> tuple[torch.Tensor, ...]:
        """Logits (batch, num_logits, vocab) at the chosen positions, then every state with the tokens taken in.

        Without a choice of positions, logits after every token.
        """
        cache = self.template.assemble(past)
        positions = position_ids + self.first_position if self.first_position else position_ids
        inputs = {"attention_mask": attention_mask, "position_ids": positions, self.template.argument: cache}
        taken = {name: value for name, value in inputs.items() if name in self.accepted}
        chosen = nullcontext() if logits_to_keep is None else logits_at(self.model, logits_to_keep)
        with chosen, positions_at(self.model, position_ids):
            output = self.model(input_ids=input_ids, use_cache=True, **taken)
        return (output.logits, *self.template.take_apart(cache))


def trace_growing_decoder(model: PreTrainedModel, *, all_logits: bool = False) -> GrowingTrace:
    """Trace a decoder as it is.

    Args:
        all_logits: give logits after every token, rather than where ``logits_to_keep`` asks for them.

    Raises:
        RefusedError: it keeps something that is not in its cache.
    """
    with attention_implementation(model, "eager"):
        template = StateTemplate(model)
        num_tokens = _SEQUENCE if template.is_growing else 1
        inputs = _example_inputs(template, num_tokens)
        axes = dict(_AXES)
        if num_tokens == 1:
            axes |= {"input_ids": ("batch_size", ""), "position_ids": ("batch_size", "")}
        if all_logits:
            del axes["logits_to_keep"]
            inputs["logits_to_keep"] = None
        axes |= {leaf.past_name: _leaf_axes(leaf.growing_axis, len(leaf.shape)) for leaf in template.leaves}
        output_names = ["logits", *(leaf.name for leaf in template.leaves)]
        with norms_as_operators(model), experts_as_operators(model), torch.no_grad():
            program = torch.export.export(
                GrowingGraph(model, template), (), inputs, dynamic_shapes=_dynamic_shapes(axes), strict=False
            )
            graph = convert_program(program, inputs, list(axes), output_names)
    return GrowingTrace(graph, axes, output_names)


_AXES: dict[str, tuple[str, ...]] = {
    "input_ids": ("batch_size", "sequence_length"),
    "attention_mask": ("batch_size", "total_sequence_length"),
    "position_ids": ("batch_size", "sequence_length"),
    "logits_to_keep": ("batch_size", "num_logits"),
}


def _leaf_axes(growing_axis: int | None, rank: int) -> tuple[str, ...]:
    names = {0: "batch_size", growing_axis: "past_sequence_length"}
    return tuple(names.get(axis, "") for axis in range(rank))


def _example_inputs(template: StateTemplate, num_tokens: int) -> dict[str, torch.Tensor | list[torch.Tensor] | None]:
    sizes = [
        [_BATCH if axis == 0 else _PAST if axis == leaf.growing_axis else size for axis, size in enumerate(leaf.shape)]
        for leaf in template.leaves
    ]
    return {
        "input_ids": torch.zeros(_BATCH, num_tokens, dtype=torch.long),
        "attention_mask": torch.ones(_BATCH, _PAST + num_tokens, dtype=torch.long),
        "position_ids": torch.arange(_PAST, _PAST + num_tokens).repeat(_BATCH, 1),
        "logits_to_keep": torch.zeros(_BATCH, _LOGITS, dtype=torch.long),
        "past": [torch.randn(size) for size in sizes],
    }


def _dynamic_shapes(axes: Mapping[str, tuple[str, ...]]) -> Mapping[str, object]:
    dynamic = torch.export.Dim.DYNAMIC
    free = {name: {axis: dynamic for axis, label in enumerate(names) if label} for name, names in axes.items()}
    fixed: dict[str, object] = {name: free.get(name) for name in _AXES}
    return fixed | {"past": [shape for name, shape in free.items() if name not in _AXES]}
