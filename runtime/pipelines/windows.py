"""Items in windows: enough at once to sort by length, few enough to bound memory, prepared while others run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

Prepared = TypeVar("Prepared")

FIRST_WINDOW_SIZE = 256
"""Items of the first window: small, so that the first batches run while the rest is tokenized."""

_PATIENCE_S = 0.05


@dataclass(frozen=True)
class Window:
    """Consecutive items.

    Args:
        items: the items.
        first_index: number of the first one among all.
        is_single: the caller passed one item, not a list of one.
        is_full: the window ended because it had enough items, not because the source was slow or at its end.
    """

    items: list[Any]
    first_index: int = 0
    is_single: bool = False
    is_full: bool = False

    def name(self, index: int) -> str:
        """How messages call the item at ``index`` of this window."""
        return "The input" if self.is_single else f"Input {self.first_index + index}"


def windows(source: Iterator[Any], size: int) -> Iterator[Window]:
    """Cut ``source`` into windows of at most ``size`` items.

    A source that takes its time gets small windows, so that its results do not wait for items that are still to come.
    """
    first_index = 0
    limit = min(size, FIRST_WINDOW_SIZE)
    while True:
        items, ended = _take(source, limit)
        if items:
            yield Window(items, first_index, is_full=len(items) == limit and not ended)
        if ended:
            return
        first_index += len(items)
        limit = size


def _take(source: Iterator[Any], limit: int) -> tuple[list[Any], bool]:
    """Up to ``limit`` items, and whether the source has ended."""
    items: list[Any] = []
    started = time.monotonic()
    for item in source:
        items.append(item)
        if len(items) == limit or time.monotonic() - started > _PATIENCE_S:
            return items, False
    return items, True


def prepared_ahead(source: Iterator[Window], prepare: Callable[[Window], Prepared]) -> Iterator[Prepared]:
    """Prepare each window, the next one in a thread of its own while the caller uses the current one.

    The source is read in the caller's thread, never more than one window ahead, and only where it keeps up.
    """
    for window in source:
        if window.is_full:
            yield from _with_thread(window, source, prepare)
        else:
            yield prepare(window)


def _with_thread(window: Window, source: Iterator[Window], prepare: Callable[[Window], Prepared]) -> Iterator[Prepared]:
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="headway-tokenize") as pool:
        pending = pool.submit(prepare, window)
        while window.is_full:
            current = pending.result()
            following = next(source, None)
            if following is None:
                yield current
                return
            window = following
            pending = pool.submit(prepare, window)
            yield current
        yield pending.result()
