"""The mask of the encoder's positions, caught or replaced on its way into the decoder.

Speech encoders make one position of several frames, each in its own code, and so does the mask; what the model hands
its decoder is the same for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

MASK = "encoder_attention_mask"


@contextmanager
def encoder_mask(
    model: PreTrainedModel, replacement: torch.Tensor | None = None
) -> Iterator[list[torch.Tensor | None]]:
    """Catch the masks that a model hands its decoder inside the block.

    Args:
        replacement: (batch, encoder sequence), given to the decoder in place of the model's own; None changes nothing.

    Returns:
        A list that gets each mask, (batch, encoder sequence) or None; decoders that take no mask leave it empty.
    """
    masks: list[torch.Tensor | None] = []

    def catch(module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if MASK in kwargs:
            masks.append(kwargs[MASK])
            if replacement is not None:
                kwargs[MASK] = replacement
        return args, kwargs

    hook = model.get_decoder().register_forward_pre_hook(catch, with_kwargs=True)
    try:
        yield masks
    finally:
        hook.remove()
