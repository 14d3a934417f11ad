"""A progress bar for work that lasts, on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

_DELAY_S = 1.0


class Progress:
    """Counts finished items, and shows a bar once the work has lasted a second.

    Args:
        total: number of items, or None where it is not known.
        show: True shows the bar from the start, False never, None after a second where stderr is a terminal.
        unit: what an item is called.
    """

    def __init__(self, total: int | None, show: bool | None, unit: str = "text") -> None:
        self._total = total
        self._unit = unit
        self._is_wanted = sys.stderr.isatty() if show is None else show
        self._shows_at = 0.0 if show else time.monotonic() + _DELAY_S
        self._bar: Any = None
        self._finished = 0
        self._rows_finished = 0
        self._num_items = self._num_rows = 1

    def begin_window(self, num_items: int) -> None:
        """Say how many items are about to run."""
        self._num_items = self._num_rows = num_items
        self._rows_finished = 0

    def expect(self, num_rows: int) -> None:
        """Say how many rows the window's items have become, where it is not one for each."""
        self._num_rows = max(1, num_rows)

    def advance(self, num_rows: int) -> None:
        """Count rows that have run."""
        self._rows_finished += num_rows
        if self._is_wanted and time.monotonic() >= self._shows_at:
            self._show(self._finished + self._num_items * self._rows_finished // self._num_rows)

    def end_window(self) -> None:
        """Count the window's items as finished."""
        self._finished += self._num_items
        if self._is_wanted and time.monotonic() >= self._shows_at:
            self._show(self._finished)

    def _show(self, num_items: int) -> None:
        if self._bar is None:
            self._bar = _open_bar(self._total, self._unit)
        self._bar.update(num_items - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _open_bar(total: int | None, unit: str) -> Any:
    # Imported when a bar is really shown: it takes longer than most calls.
    from huggingface_hub.utils.tqdm import tqdm

    make_bar: Any = tqdm
    return make_bar(total=total, unit=unit, file=sys.stderr, disable=False, dynamic_ncols=True)
