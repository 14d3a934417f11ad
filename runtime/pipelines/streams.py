"""Batches side by side: a second session whose runs take one thread each, for work that is large enough.

Threads that share each operator wait for one another at its end; with a whole batch for each thread nobody waits. One
text alone is faster on the model's own session.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from ..session import Session

Item = TypeVar("Item")
Result = TypeVar("Result")

MIN_TOKENS = 16_384
"""Tokens at once that are worth opening a second session."""

_MAX_MODEL_BYTES = 1 << 30


class SideSession:
    """Opens the second session of a model when there is enough work, and keeps it.

    Args:
        session: the model's own session.
    """

    def __init__(self, session: Session) -> None:
        self._own = session
        self._is_possible = session.provider == "CPUExecutionProvider" and _model_bytes(session) <= _MAX_MODEL_BYTES
        self._opened: Session | None = None
        self._lock = threading.Lock()

    def for_work(self, num_tokens: int, num_streams: int | None) -> tuple[Session, int]:
        """The session for some work, and how many batches to run on it at the same time."""
        num_streams = self._own.num_threads if num_streams is None else num_streams
        if num_streams == 1 or not self._is_possible:
            return self._own, 1
        if self._opened is None and num_tokens < MIN_TOKENS:
            return self._own, 1
        with self._lock:
            if self._opened is None:
                options = replace(self._own.options, num_threads=1)
                self._opened = Session(self._own.path, self._own.folder, options)
        return self._opened, num_streams


def side_by_side(
    function: Callable[[Item], Result], items: Iterable[Item], num_streams: int
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with its result, in order, with ``num_streams`` at work and as many waiting."""
    if num_streams == 1:
        for item in items:
            yield item, function(item)
        return
    pool = ThreadPoolExecutor(num_streams, thread_name_prefix="headway-run")
    pending: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            pending.append((item, pool.submit(function, item)))
            if len(pending) == 2 * num_streams:
                first, future = pending.popleft()
                yield first, future.result()
        for item, future in pending:
            yield item, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _model_bytes(session: Session) -> int:
    files = [session.path, *session.path.parent.glob(f"{session.path.name}_data*")]
    return sum(file.stat().st_size for file in files if file.is_file())
