"""A bar on stderr for work that lasts."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

_DELAY_S = 1.0


class ProgressBar:
    """Shows how far the work is, once it has lasted a second.

    Args:
        total: how many there are, or None where it is not known.
        unit: what one is called.
        show: True shows the bar from the start, False never, None after a second where stderr is a terminal.
        num_done: how many an earlier run finished.
    """

    def __init__(self, total: int | None, unit: str, show: bool | None, num_done: int = 0) -> None:
        self._total, self._unit, self._num_done = total, unit, num_done
        self._is_wanted = sys.stderr.isatty() if show is None else show
        self._shows_at = 0.0 if show else time.monotonic() + _DELAY_S
        self._bar: Any = None

    def show(self, count: int) -> None:
        """Say how many are finished by now."""
        if not self._is_wanted or time.monotonic() < self._shows_at:
            return
        if self._bar is None:
            self._bar = self._open()
        self._bar.update(count - self._bar.n)

    def _open(self) -> Any:
        # Imported when a bar is really shown: it takes longer than most calls.
        from huggingface_hub.utils.tqdm import tqdm

        make_bar: Any = tqdm
        return make_bar(
            total=self._total,
            initial=self._num_done,
            unit=self._unit,
            file=sys.stderr,
            disable=False,
            dynamic_ncols=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
