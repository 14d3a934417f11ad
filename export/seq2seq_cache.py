"""What the decoder of an encoder-decoder sees as its KV cache while it is traced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, EncoderDecoderCache

Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class LayerStates:
    """Keys and values of one layer, (batch, heads, length, head_dim), under the names transformers reads them by."""

    keys: torch.Tensor
    values: torch.Tensor


class GrowingCache(Cache):
    """A cache that appends new keys and values to the past ones and remembers the result.

    Args:
        past: layer → (key, value), each (batch, heads, past_length, head_dim); empty where there is no past.
    """

    def __init__(self, past: Mapping[int, Pair]) -> None:
        super().__init__(layers=[])
        self.past = past
        self.past_length = next(iter(past.values()))[0].shape[2] if past else 0
        self.present: dict[int, Pair] = {}

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> Pair:
        """Past and new states together."""
        if layer_idx in self.past:
            past_key, past_value = self.past[layer_idx]
            key_states = torch.cat([past_key, key_states], dim=2)
            value_states = torch.cat([past_value, value_states], dim=2)
        self.present[layer_idx] = (key_states, value_states)
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Length of the past, also after an update: layers ask before and after it, and mean the same."""
        return self.past_length

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """Position of the first new token."""
        return self.past_length

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        """Number of keys, and the position of the first of them."""
        return self.past_length + query_length, 0


class CrossCache(GrowingCache):
    """Cross-attention's keys and values: taken from ``states`` where given, else computed once and remembered."""

    def __init__(self, states: Mapping[int, Pair]) -> None:
        super().__init__({})
        self.states = states
        if states:
            empty = LayerStates(*next(iter(states.values())))
            self.layers = [
                LayerStates(*states[layer]) if layer in states else empty for layer in range(max(states) + 1)
            ]


class TracedCache(EncoderDecoderCache):
    """Both caches of one traced call.

    Args:
        past: the decoder's own past.
        cross: cross-attention's keys and values; empty to have them computed from the encoder's output.
    """

    def __init__(self, past: Mapping[int, Pair], cross: Mapping[int, Pair]) -> None:
        super().__init__(GrowingCache({}), GrowingCache({}))
        self.self_attention_cache = GrowingCache(past)
        self.cross_attention_cache = CrossCache(cross)
        self.is_updated = dict.fromkeys(cross, True)

    @property
    def decoder_present(self) -> dict[int, Pair]:
        """Layer → the decoder's keys and values, past and new."""
        return self.self_attention_cache.present

    @property
    def encoder_present(self) -> dict[int, Pair]:
        """Layer → cross-attention's keys and values, where they were computed."""
        return self.cross_attention_cache.present


def pairs(tensors: Sequence[torch.Tensor], layers: Iterable[int]) -> dict[int, Pair]:
    """Layer → (key, value) from keys and values in turns."""
    return {layer: (tensors[2 * index], tensors[2 * index + 1]) for index, layer in enumerate(layers)}
