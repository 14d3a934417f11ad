"""Positions for decoders that count them in ways of their own: from their cache's length, or from a padding id on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedModel

# What encoder-decoder families call the decoder's table of positions, and what BERT's kin do.
_DECODER_TABLE, _ENCODER_TABLE = "embed_positions", "position_embeddings"
_NUM_PROBED_TOKENS = 3


@contextmanager
def positions_at(model: PreTrainedModel, position_ids: torch.Tensor) -> Iterator[None]:
    """Look up the given positions (batch, sequence) in the model's table, where its forward does not take them."""
    with ExitStack() as stack:
        if "position_ids" not in inspect.signature(model.forward).parameters:
            for module in _tables(model, _DECODER_TABLE):
                stack.callback(module.register_forward_hook(_lookup(position_ids)).remove)
        yield


def first_position(model: PreTrainedModel) -> int:
    """The number a model gives the first token of a text: RoBERTa and its kin begin after their padding id.

    That is what the model itself does; transformers' ``generate`` passes positions from 0 to any model that takes them.
    """
    seen: list[int] = []

    def note(module: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        # A table of another kind takes sizes.
        seen.extend(int(ids.flatten()[0]) for ids in arguments[:1] if isinstance(ids, torch.Tensor))

    with ExitStack() as stack, torch.no_grad():
        for module in _tables(model, _ENCODER_TABLE):
            stack.callback(module.register_forward_pre_hook(note).remove)
        model(input_ids=_plain_tokens(model), use_cache=False)
    return seen[0] if seen else 0


def _plain_tokens(model: PreTrainedModel) -> torch.Tensor:
    """A few tokens that are no padding, (1, tokens)."""
    padding = getattr(model.config.get_text_config(), "pad_token_id", None)
    return torch.full((1, _NUM_PROBED_TOKENS), 1 if padding == 0 else 0)


def _tables(model: PreTrainedModel, leaf: str) -> list[torch.nn.Embedding]:
    named = model.named_modules()
    return [
        module for name, module in named if name.rsplit(".", 1)[-1] == leaf and isinstance(module, torch.nn.Embedding)
    ]


def _lookup(position_ids: torch.Tensor) -> Callable[..., torch.Tensor]:
    def forward(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        return functional.embedding(position_ids + getattr(module, "offset", 0), module.weight)

    return forward
