"""Lines of a file, pipe or terminal, in bursts: what is there runs, and does not wait for what may come."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

MAX_LINE_BYTES = 64 << 20
"""Longest line that is kept: one without an end must not fill the memory."""

PATIENCE_S = 0.05
"""How long a burst waits for its next line."""

_BLOCK_BYTES = 1 << 16
# A signal that arrives just before a blocking read would be seen only after it; so no wait is longer than this.
_LONGEST_WAIT_S = 0.5


@dataclass(frozen=True)
class Line:
    """One line of the input.

    Args:
        number: counted from 1.
        content: its bytes, without the line's end.
        is_whole: False for a line over :data:`MAX_LINE_BYTES`, whose rest was left out.
    """

    number: int
    content: bytes
    is_whole: bool = True


class LineReader:
    r"""Reads lines, which end in ``\n`` or ``\r\n``, from a file descriptor.

    Args:
        descriptor: open for reading; it stays open.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._ready: deque[Line] = deque()
        self._parts: list[bytes] = []
        self._num_part_bytes = 0
        self._number = 0
        self._is_skipping = False
        self._has_ended = False

    def peek(self) -> Line | None:
        """The next line, which stays the next one; None at the end."""
        line = self.next()
        if line is not None:
            self._ready.appendleft(line)
        return line

    def next(self, timeout_s: float | None = None) -> Line | None:
        """The next line; None at the end, or where none comes in time.

        Args:
            timeout_s: longest wait for each block of bytes; None waits for as long as it takes.
        """
        while not self._ready and not self._has_ended:
            if not self._wait(timeout_s):
                return None
            self._take(os.read(self._descriptor, _BLOCK_BYTES))
        return self._ready.popleft() if self._ready else None

    def _wait(self, timeout_s: float | None) -> bool:
        """Wait until there is something to read; whether there is."""
        if timeout_s is not None:
            return bool(select.select([self._descriptor], [], [], timeout_s)[0])
        while not select.select([self._descriptor], [], [], _LONGEST_WAIT_S)[0]:
            pass
        return True

    def bursts(self) -> Iterator[Iterator[Line]]:
        """Yield the lines in bursts, each of which ends when no line comes for a moment; use one up, then the next."""
        while (first := self.next()) is not None:
            yield self._burst(first)

    def _burst(self, first: Line) -> Iterator[Line]:
        line: Line | None = first
        while line is not None:
            yield line
            line = self.next(PATIENCE_S)

    def _take(self, block: bytes) -> None:
        if not block:
            self._has_ended = True
            if self._parts:
                self._finish_line()
            return
        *ended, rest = block.split(b"\n")
        for part in ended:
            self._keep(part)
            self._finish_line()
        if rest:
            self._keep(rest)

    def _keep(self, part: bytes) -> None:
        room = MAX_LINE_BYTES - self._num_part_bytes
        self._is_skipping |= len(part) > room
        self._parts.append(part[:room])
        self._num_part_bytes += len(self._parts[-1])

    def _finish_line(self) -> None:
        self._number += 1
        content = b"".join(self._parts).removesuffix(b"\r")
        self._ready.append(Line(self._number, content, not self._is_skipping))
        self._parts, self._num_part_bytes, self._is_skipping = [], 0, False
