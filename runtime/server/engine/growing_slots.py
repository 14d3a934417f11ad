"""Places in the caches of a graph that returns its past anew, for sequences that come and go."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping

import numpy as np

from ...generation.growing import GrowingDecoder
from ...generation.growing_cache import GrowingCache
from ...generation.history import Scores, TokenIds
from ...generation.network import TokenCache, TokenDecoder


class SeparateSlots:
    """A cache for each sequence, stepped one after the other: for graphs whose rows cannot share a buffer.

    Args:
        decoder: the graph.
        num_slots: sequences at the same time.
    """

    def __init__(self, decoder: TokenDecoder, num_slots: int) -> None:
        self._decoder = decoder
        self._caches: dict[int, TokenCache] = {}
        self._num_slots = num_slots

    @property
    def num_free(self) -> int:
        """Slots that no sequence holds."""
        return self._num_slots - len(self._caches)

    def open(self, token_ids: TokenIds) -> tuple[int, int]:
        """Take a free slot."""
        slot = _lowest_free(self._caches)
        self._caches[slot] = self._decoder.new_cache(1, len(token_ids))
        return slot, 0

    def extend(self, slot: int, tokens: TokenIds) -> Scores:
        """Append tokens to one slot; (vocab,) float32."""
        logits: Scores = self._decoder.extend(self._caches[slot], [tokens])[-1]
        return logits

    def decode(self, tokens: Mapping[int, int]) -> Mapping[int, Scores]:
        """Append one token to each of these slots, one call after the other."""
        return {
            slot: self._decoder.decode(self._caches[slot], np.array([token]))[0].copy()
            for slot, token in tokens.items()
        }

    def close(self, slot: int, *, keep: bool) -> None:
        """Give a slot back."""
        del self._caches[slot]

    def compact(self) -> Mapping[int, int]:
        """Nothing lies between sequences here."""
        return {}


class StackedSlots:
    """One batch of all sequences that step: shorter ones are padded on the left, and the mask says what counts.

    A sequence runs its prompt in a cache of its own, joins the batch at its first step, and leaves it when it ends.
    Each joining or leaving copies the batch once; the steps between run all sequences in one call.

    Args:
        decoder: the graph; it takes a mask.
        num_slots: sequences at the same time.
    """

    def __init__(self, decoder: GrowingDecoder, num_slots: int) -> None:
        self._decoder = decoder
        self._num_slots = num_slots
        self._apart: dict[int, GrowingCache] = {}
        self._batch: GrowingCache | None = None
        self._batch_slots: list[int] = []  # slot of each row of the batch

    @property
    def num_free(self) -> int:
        """Slots that no sequence holds."""
        return self._num_slots - len(self._apart) - len(self._batch_slots)

    def open(self, token_ids: TokenIds) -> tuple[int, int]:
        """Take a free slot."""
        slot = _lowest_free({*self._apart, *self._batch_slots})
        self._apart[slot] = self._decoder.new_cache(1, len(token_ids))
        return slot, 0

    def extend(self, slot: int, tokens: TokenIds) -> Scores:
        """Append tokens to one slot that has not stepped yet; (vocab,) float32."""
        logits: Scores = self._decoder.extend(self._apart[slot], [tokens])[-1]
        return logits

    def decode(self, tokens: Mapping[int, int]) -> Mapping[int, Scores]:
        """Append one token to each of these slots in one call."""
        batch = self._joined(tokens)
        column = np.array([tokens[slot] for slot in self._batch_slots], dtype=np.int64)
        logits = self._decoder.decode(batch, column)
        return dict(zip(self._batch_slots, logits, strict=True))

    def close(self, slot: int, *, keep: bool) -> None:
        """Give a slot back."""
        if self._apart.pop(slot, None) is None:
            self._keep([other for other in self._batch_slots if other != slot])

    def compact(self) -> Mapping[int, int]:
        """Nothing lies between sequences here."""
        return {}

    def _joined(self, slots: Collection[int]) -> GrowingCache:
        """The batch of just these slots."""
        self._set_apart([slot for slot in self._batch_slots if slot not in slots])
        new = [slot for slot in slots if slot in self._apart]
        caches = [] if self._batch is None else [self._batch]
        caches += [self._apart.pop(slot) for slot in new]
        batch = GrowingCache.stacked(caches) if len(caches) > 1 else caches[0]
        self._batch, self._batch_slots = batch, [*self._batch_slots, *new]
        return batch

    def _set_apart(self, slots: list[int]) -> None:
        """Give some of the batch's sequences a cache of their own again."""
        if self._batch is None or not slots:
            return
        for slot in slots:
            self._apart[slot] = self._batch.only(self._batch_slots.index(slot)).without_padding()
        self._keep([slot for slot in self._batch_slots if slot not in slots])

    def _keep(self, slots: list[int]) -> None:
        """Leave out the other rows of the batch, and the columns that only they had."""
        if self._batch is not None:
            self._batch.select(np.array([self._batch_slots.index(slot) for slot in slots], dtype=np.int64))
            self._batch = self._batch.without_padding() if slots else None
        self._batch_slots = slots


def _lowest_free(taken: Collection[int]) -> int:
    """The first slot that nobody holds; who asks has made sure that there is one."""
    return next(slot for slot in itertools.count() if slot not in taken)
