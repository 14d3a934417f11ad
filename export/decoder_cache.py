"""What a decoder sees as its KV cache while it is traced, and the mask it sees as its attention mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache


class RefusedError(Exception):
    """A model does something this path cannot express; the message says what, and the report repeats it."""


@dataclass(frozen=True)
class MaskRule:
    """Which keys a token sees: all up to itself, or the latest ``window`` of them, itself included.

    ``refusal`` says why a mask is neither; a model may create such a mask and not use it.
    """

    window: int | None = None
    refusal: str = ""


class PassThroughCache(Cache):
    """A cache whose ``update`` hands new keys and values straight on: the attention operator appends them.

    It remembers which layer was updated last, so that the attention call that follows knows its buffers.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.current_layer: int | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Hand the new states on."""
        self.current_layer = layer_idx
        return key_states, value_states

    def take_layer(self) -> int:
        """The layer updated since the last attention call."""
        if self.current_layer is None:
            raise RefusedError("an attention call has no cache update of its own (shared or cross attention)")
        layer, self.current_layer = self.current_layer, None
        return layer

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Nothing is known to be cached: positions come in from outside."""
        return 0

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """No offset, for the same reason."""
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        """Sizes of the mask over the new tokens alone."""
        return query_length, 0


def traced_mask(**_: Any) -> MaskRule:
    """Stand in for a mask while tracing, where rules cannot be evaluated; the layers' windows are known by then."""
    return MaskRule()


def mask_rule(mask_function: Callable[..., Any], **sizes: Any) -> MaskRule:
    """Find out by evaluation which rule a transformers mask function follows.

    Registered as the mask creation of the attention implementation, so that the rule reaches each layer's attention
    call in place of a mask tensor.
    """
    for num_positions in _PROBED_LENGTHS:
        visible = _evaluate(mask_function, num_positions)
        causal = torch.ones(num_positions, num_positions, dtype=torch.bool).tril()
        if torch.equal(visible, causal):
            continue
        window = int(visible[-1].sum())
        if torch.equal(visible, causal & ~causal.tril(-window)):
            return MaskRule(window)
        return MaskRule(refusal="its attention mask is neither causal nor a sliding window")
    return _long_window(mask_function)


# Short lengths show every rule's form; a window longer than these looks causal and is found by bisection.
_PROBED_LENGTHS = (9, 130)
_LONGEST_WINDOW = 1 << 24


def _evaluate(mask_function: Callable[..., Any], num_positions: int) -> torch.Tensor:
    zero = torch.zeros((), dtype=torch.long)
    positions = torch.arange(num_positions)
    visible = mask_function(zero, zero, positions[:, None], positions[None, :])
    return torch.as_tensor(visible, dtype=torch.bool).expand(num_positions, num_positions)


def _long_window(mask_function: Callable[..., Any]) -> MaskRule:
    def sees_back(distance: int) -> bool:
        zero = torch.zeros((), dtype=torch.long)
        query = torch.tensor(_LONGEST_WINDOW)
        return bool(mask_function(zero, zero, query, query - distance))

    if sees_back(_LONGEST_WINDOW):
        return MaskRule()
    seen, unseen = 0, _LONGEST_WINDOW
    while unseen - seen > 1:
        middle = (seen + unseen) // 2
        seen, unseen = (middle, unseen) if sees_back(middle) else (seen, middle)
    return MaskRule(window=unseen)
