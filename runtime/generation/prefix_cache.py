"""Keys and values of earlier prompts and answers, kept so that a text that begins alike need not be run again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .cache import SharedBufferCache
from .history import TokenIds
from .tokens import common_prefix_length


@dataclass(frozen=True)
class _Entry:
    token_ids: TokenIds
    states: list[NDArray[Any]]  # (1, heads, tokens, head_dim) per buffer
    is_long: bool

    @property
    def size_bytes(self) -> int:
        return int(self.token_ids.nbytes) + sum(state.nbytes for state in self.states)


class PrefixCache:
    """Beginnings of texts with their keys and values, the least recently used dropped first.

    Several threads may share one.

    Args:
        max_bytes: what all entries together may take.
        min_tokens: shorter matches are not worth copying.

    Raises:
        OptionError: ``max_bytes`` is negative.
    """

    def __init__(self, max_bytes: int, *, min_tokens: int = 16) -> None:
        if max_bytes < 0:
            raise OptionError(f"max_bytes={max_bytes} is not allowed; it is a number of bytes, 0 to keep nothing.")
        self.max_bytes = max_bytes
        self.min_tokens = min_tokens
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._next_key = 0
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """What the entries take."""
        with self._lock:
            return sum(entry.size_bytes for entry in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()

    def restore(self, cache: SharedBufferCache, row: int, token_ids: TokenIds) -> int:
        """Let an empty row begin with the longest known beginning of its tokens; how many tokens that is.

        Args:
            token_ids: (tokens,) int64, the row's prompt; its last token is always left to run.
        """
        with self._lock:
            key, length = self._longest_match(token_ids[:-1])
            if key is None:
                return 0
            self._entries.move_to_end(key)
            entry = self._entries[key]
        cache.fill_row(row, token_ids[:length], entry.states, is_long=entry.is_long)
        return length

    def store(self, cache: SharedBufferCache, row: int) -> None:
        """Keep what a row holds, unless an entry begins with it already."""
        token_ids = cache.row_ids(row).copy()
        size_bytes = token_ids.nbytes + sum(spec.size_bytes_per_token * len(token_ids) for spec in cache.specs)
        if len(token_ids) < self.min_tokens or size_bytes > self.max_bytes:
            return
        with self._lock:
            known = any(_begins_with(entry.token_ids, token_ids) for entry in self._entries.values())
        if known:
            return
        entry = _Entry(token_ids, cache.copy_row(row, len(token_ids)), bool(cache.is_long[row]))
        with self._lock:
            self._drop_beginnings_of(token_ids)
            self._entries[self._next_key] = entry
            self._next_key += 1
            self._shrink()

    def _longest_match(self, token_ids: TokenIds) -> tuple[int | None, int]:
        best, longest = None, self.min_tokens - 1
        for key, entry in self._entries.items():
            length = common_prefix_length(entry.token_ids, token_ids)
            if length > longest:
                best, longest = key, length
        return best, longest

    def _drop_beginnings_of(self, token_ids: TokenIds) -> None:
        """A longer text serves all that its beginning did."""
        for key in [key for key, entry in self._entries.items() if _begins_with(token_ids, entry.token_ids)]:
            del self._entries[key]

    def _shrink(self) -> None:
        total = sum(entry.size_bytes for entry in self._entries.values())
        while total > self.max_bytes:
            _, entry = self._entries.popitem(last=False)
            total -= entry.size_bytes


def _begins_with(token_ids: TokenIds, beginning: TokenIds) -> bool:
    return len(beginning) <= len(token_ids) and bool(np.array_equal(token_ids[: len(beginning)], beginning))
