"""Positions for decoders that count them from the length of their cache, which the rows of a batch do not share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedModel

# What encoder-decoder families call the decoder's table of positions.
_TABLE_NAME = "embed_positions"


@contextmanager
def positions_at(model: PreTrainedModel, position_ids: torch.Tensor) -> Iterator[None]:
    """Look up the given positions (batch, sequence) in the model's table, where its forward does not take them."""
    with ExitStack() as stack:
        if "position_ids" not in inspect.signature(model.forward).parameters:
            for name, module in model.named_modules():
                if name.rsplit(".", 1)[-1] == _TABLE_NAME and isinstance(module, torch.nn.Embedding):
                    stack.callback(module.register_forward_hook(_lookup(position_ids)).remove)
        yield


def _lookup(position_ids: torch.Tensor) -> Callable[..., torch.Tensor]:
    def forward(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        return functional.embedding(position_ids + getattr(module, "offset", 0), module.weight)

    return forward
