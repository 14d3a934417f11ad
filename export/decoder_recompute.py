"""Decoders that cannot go on from a cache: the graph keeps the tokens themselves and runs them all in every step.

The last resort: steps take longer as a text grows, but whatever a causal model computes from a whole text comes out
right. Rows are moved to the front before they are run, so that no model sees padding before a token.
"""

from __future__ import annotations

import inspect

import torch
from transformers import PreTrainedModel

from .attention import attention_implementation
from .conversion import convert_program
from .decoder_experts import experts_as_operators
from .decoder_fallback import GrowingTrace
from .decoder_norms import norms_as_operators
from .decoder_trace import logits_at

_BATCH, _SEQUENCE, _PAST, _LOGITS = 2, 5, 7, 3
_PAST_IDS, _PRESENT_IDS = "past_state.0", "present_state.0"
_AXES: dict[str, tuple[str, ...]] = {
    "input_ids": ("batch_size", "sequence_length"),
    "attention_mask": ("batch_size", "total_sequence_length"),
    "logits_to_keep": ("batch_size", "num_logits"),
    _PAST_IDS: ("batch_size", "past_sequence_length"),
}


class RecomputingGraph(torch.nn.Module):
    """A causal language model as a function of new ids, past ids and a mask over both.

    Args:
        model: the language model, in evaluation mode.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.takes_mask = "attention_mask" in inspect.signature(model.forward).parameters

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: torch.Tensor,
        past_ids: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (batch, num_logits, vocab) at the chosen new positions, and all ids (batch, past + new)."""
        ids = torch.cat([past_ids, input_ids], dim=1)
        places = packed_places(attention_mask)
        packed = torch.zeros_like(ids).scatter(1, places, ids)
        lengths = attention_mask.sum(dim=1, keepdim=True)
        mask = (torch.arange(ids.shape[1])[None, :] < lengths).long()
        chosen = places.gather(1, logits_to_keep + past_ids.shape[1])
        inputs = {"attention_mask": mask} if self.takes_mask else {}
        with logits_at(self.model, chosen):
            output = self.model(input_ids=packed, use_cache=False, **inputs)
        return output.logits, ids


def packed_places(attention_mask: torch.Tensor) -> torch.Tensor:
    """Where each column goes when a row's tokens come first, in their order, and its padding after them.

    Args:
        attention_mask: (batch, columns) int64 of ones and zeros.

    Returns:
        (batch, columns) int64, a permutation in every row.
    """
    tokens = attention_mask.cumsum(dim=1)
    padding = attention_mask.sum(dim=1, keepdim=True) + (1 - attention_mask).cumsum(dim=1)
    return torch.where(attention_mask == 1, tokens, padding) - 1


def trace_recomputing_decoder(model: PreTrainedModel) -> GrowingTrace:
    """Trace a decoder as a function of whole texts."""
    inputs = {
        "input_ids": torch.zeros(_BATCH, _SEQUENCE, dtype=torch.long),
        "attention_mask": torch.ones(_BATCH, _PAST + _SEQUENCE, dtype=torch.long),
        "logits_to_keep": torch.zeros(_BATCH, _LOGITS, dtype=torch.long),
        "past_ids": torch.zeros(_BATCH, _PAST, dtype=torch.long),
    }
    shapes = {name: {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for name in inputs}
    output_names = ["logits", _PRESENT_IDS]
    with (
        attention_implementation(model, "eager"),
        norms_as_operators(model),
        experts_as_operators(model),
        torch.no_grad(),
    ):
        graph = RecomputingGraph(model)
        program = torch.export.export(graph, (), inputs, dynamic_shapes=shapes, strict=False)
        return GrowingTrace(convert_program(program, inputs, list(_AXES), output_names), _AXES, output_names)
