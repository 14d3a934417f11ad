"""Places in a decoder's KV cache: a sequence takes one, fills it with its prompt, steps with the others, and leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from ...generation.cache import SharedBufferCache
from ...generation.decoder import Decoder
from ...generation.growing import GrowingDecoder
from ...generation.history import Scores, TokenIds
from ...generation.network import TokenDecoder
from ...generation.prefix_cache import PrefixCache
from ...generation.tokens import common_prefix_length

_FIRST_CAPACITY_TOKENS = 256
_MIN_SHARED_TOKENS = 16


class Slots(Protocol):
    """What the engine asks of a cache that sequences share."""

    @property
    def num_free(self) -> int:
        """Slots that no sequence holds."""

    def open(self, token_ids: TokenIds) -> tuple[int, int]:
        """Take a free slot for a prompt; which one, and how many of the prompt's tokens it holds already."""

    def extend(self, slot: int, tokens: TokenIds) -> Scores:
        """Append tokens to one slot; (vocab,) float32, the logits after the last."""

    def decode(self, tokens: Mapping[int, int]) -> Mapping[int, Scores]:
        """Append one token to each of these slots; slot → (vocab,) float32, valid until the next call."""

    def close(self, slot: int, *, keep: bool) -> None:
        """Give a slot back; ``keep`` remembers its tokens for prompts that begin alike."""

    def compact(self) -> Mapping[int, int]:
        """Move sequences so that no step is spent on free slots between them; old slot → new slot."""


def open_slots(decoder: TokenDecoder, num_slots: int, prefix_cache: PrefixCache | None = None) -> Slots:
    """The slots that fit a decoder: one buffer for all where rows can share it, else caches that are put together."""
    if isinstance(decoder, Decoder):
        return SharedSlots(decoder, num_slots, prefix_cache)
    from .growing_slots import SeparateSlots, StackedSlots

    if isinstance(decoder, GrowingDecoder) and decoder.takes_padded_rows:
        return StackedSlots(decoder, num_slots)
    return SeparateSlots(decoder, num_slots)


class SharedSlots:
    """Rows of one buffer, so that a step runs all sequences at once.

    A row between others that is free, or whose prompt is not complete, takes part in a step with a token that is
    forgotten afterwards: that costs less than moving keys and values out of its way.

    Args:
        decoder: the graph.
        num_slots: rows.
        prefix_cache: beginnings of earlier texts, or None.
    """

    def __init__(self, decoder: Decoder, num_slots: int, prefix_cache: PrefixCache | None = None) -> None:
        self._decoder = decoder
        self._prefix_cache = prefix_cache
        capacity = min(_FIRST_CAPACITY_TOKENS, decoder.max_positions or _FIRST_CAPACITY_TOKENS)
        # Where the graph computes: of a GPU in its own memory.
        self._cache = decoder.new_cache(num_slots, capacity)
        self._is_open = np.zeros(num_slots, dtype=bool)
        self._views: dict[int, SharedBufferCache] = {}
        self._viewed_buffers: list[Any] = self._cache.buffers

    @property
    def num_free(self) -> int:
        """Slots that no sequence holds."""
        return int((~self._is_open).sum())

    @property
    def size_bytes(self) -> int:
        """What the buffers take when they are full."""
        return self._cache.size_bytes

    def open(self, token_ids: TokenIds) -> tuple[int, int]:
        """Take the first free slot, beginning with what a sequence or the prefix cache holds of the prompt."""
        slot = int(np.flatnonzero(~self._is_open)[0])
        self._cache.truncate(slot, 0)
        num_cached = self._copy_beginning(slot, token_ids)
        if num_cached == 0 and self._prefix_cache is not None:
            num_cached = self._prefix_cache.restore(self._cache, slot, token_ids)
        self._is_open[slot] = True
        return slot, num_cached

    def extend(self, slot: int, tokens: TokenIds) -> Scores:
        """Append tokens to one slot; (vocab,) float32."""
        logits: Scores = self._decoder.extend_row(self._cache, slot, tokens)[-1]
        return logits

    def decode(self, tokens: Mapping[int, int]) -> Mapping[int, Scores]:
        """Append one token to each of these slots in one call."""
        num_rows = max(tokens) + 1
        self._cache.reserve(int(self._cache.lengths[:num_rows].max()) + 1)
        lengths = self._cache.lengths[:num_rows].copy()
        column = np.zeros(num_rows, dtype=np.int64)
        column[list(tokens)] = list(tokens.values())
        logits = self._decoder.decode(self._leading(num_rows), column)
        stepped = np.zeros(num_rows, dtype=bool)
        stepped[list(tokens)] = True
        self._cache.lengths[:num_rows][~stepped] = lengths[~stepped]
        return {slot: logits[slot] for slot in tokens}

    def close(self, slot: int, *, keep: bool) -> None:
        """Give a slot back."""
        if keep and self._prefix_cache is not None:
            self._prefix_cache.store(self._cache, slot)
        self._cache.truncate(slot, 0)
        self._is_open[slot] = False

    def compact(self) -> Mapping[int, int]:
        """Move the last sequences into free slots before them."""
        moves: dict[int, int] = {}
        while True:
            taken, free = np.flatnonzero(self._is_open), np.flatnonzero(~self._is_open)
            if not len(taken) or not len(free) or free[0] > taken[-1]:
                return moves
            source, target = int(taken[-1]), int(free[0])
            self._copy(source, target, int(self._cache.lengths[source]))
            self._cache.truncate(source, 0)
            self._is_open[source], self._is_open[target] = False, True
            moves[source] = target

    def _copy_beginning(self, slot: int, token_ids: TokenIds) -> int:
        """Copy the longest beginning of the prompt that another sequence holds; how many tokens that is."""
        # The last token always runs: its logits are wanted.
        lengths = {
            row: common_prefix_length(self._cache.row_ids(row), token_ids[:-1])
            for row in np.flatnonzero(self._is_open).tolist()
        }
        best = max(lengths, key=lengths.__getitem__, default=None)
        if best is None or lengths[best] < _MIN_SHARED_TOKENS:
            return 0
        self._copy(best, slot, lengths[best])
        return lengths[best]

    def _copy(self, source: int, target: int, length: int) -> None:
        token_ids = self._cache.row_ids(source)[:length].copy()
        states = self._cache.copy_row(source, length)
        self._cache.fill_row(target, token_ids, states, is_long=bool(self._cache.is_long[source]))

    def _leading(self, num_rows: int) -> SharedBufferCache:
        """The first rows; what is bound to them stays bound until the buffers grow."""
        if self._viewed_buffers is not self._cache.buffers:
            self._views, self._viewed_buffers = {}, self._cache.buffers
        if num_rows not in self._views:
            self._views[num_rows] = self._cache.leading(num_rows)
        return self._views[num_rows]
