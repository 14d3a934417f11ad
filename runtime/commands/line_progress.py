"""A bar on stderr that counts lines, for runs over a second on a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

_DELAY_S = 1.0


class LineProgress:
    """Counts lines, and shows a bar once the work has lasted a second.

    Args:
        total: number of lines, or None where it is not known.
        num_done: lines that an earlier run finished.
        show: None shows the bar where stderr is a terminal.
    """

    def __init__(self, total: int | None, num_done: int = 0, show: bool | None = None) -> None:
        self._total = total
        self._initial = self._count = num_done
        self._is_wanted = sys.stderr.isatty() if show is None else show
        self._shows_at = time.monotonic() + _DELAY_S
        self._bar: Any = None

    def advance(self) -> None:
        """Count one line."""
        self._count += 1
        if not self._is_wanted or (self._bar is None and time.monotonic() < self._shows_at):
            return
        if self._bar is None:
            self._bar = _open_bar(self._total, self._initial)
        self._bar.update(self._count - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _open_bar(total: int | None, initial: int) -> Any:
    # Imported when a bar is really shown: it takes longer than most runs.
    from huggingface_hub.utils.tqdm import tqdm

    make_bar: Any = tqdm
    return make_bar(total=total, initial=initial, unit="line", file=sys.stderr, disable=False, dynamic_ncols=True)
