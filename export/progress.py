"""Stages of an export on stderr, with their times; silent where stderr is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stages:
    """Names each stage as it runs and keeps how long it took.

    Args:
        show: whether to write to stderr; None writes only to a terminal.
    """

    def __init__(self, show: bool | None = None) -> None:
        self.show = sys.stderr.isatty() if show is None else show
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Run one stage."""
        start = time.perf_counter()
        self._write(f"\r\033[K{name} …")
        try:
            yield
        finally:
            # A stage that runs once more, on another path, adds to its time.
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            self._write(f"\r\033[K{name} {self.seconds[name]:.1f} s\n")

    def _write(self, text: str) -> None:
        if self.show:
            sys.stderr.write(text)
            sys.stderr.flush()
