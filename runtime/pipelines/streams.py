"""Batches side by side: a second session whose runs take one thread each, for work that is large enough.

Threads that share each operator wait for one another at its end; with a whole batch for each thread nobody waits. One
text alone is faster on the model's own session.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from ..batch_runs import plan_for
from ..session import Session

Item = TypeVar("Item")
Result = TypeVar("Result")

MIN_TOKENS = 16_384
"""Tokens at once that are worth opening a second session."""

_MIN_TOKENS_ONCE_OPEN = 96
"""Tokens at once that are worth two streams where the second session is there: fewer are one stream's batch."""

_MAX_MODEL_BYTES = 1 << 30


class SideSession:
    """Opens the second session of a model when there is enough work, and keeps it.

    Args:
        session: the model's own session.
    """

    def __init__(self, session: Session) -> None:
        self._own = session
        self._is_possible = session.provider == "CPUExecutionProvider" and _model_bytes(session) <= _MAX_MODEL_BYTES
        self._is_open = False
        self._threads: Executor | None = None

    def expect_more(self) -> None:
        """Take the second session for smaller work too, and keep its threads: there will be more than these cost."""
        self._is_open = True
        if self._threads is None and self._own.num_threads > 1:
            self._threads = ThreadPoolExecutor(self._own.num_threads, thread_name_prefix="headway-run")

    def threads(self, num_streams: int) -> Executor | None:
        """Threads that are kept for so many streams, if there are any."""
        return self._threads if num_streams == self._own.num_threads else None

    def for_work(self, num_tokens: int, num_streams: int | None) -> tuple[Session, int]:
        """The session for some work, and how many batches to run on it at the same time."""
        if num_streams is None and self._own.options.runs:
            num_streams = plan_for(num_tokens, self._own.options.runs).num_streams
            is_worth_it = True
        else:
            is_worth_it = num_tokens >= (_MIN_TOKENS_ONCE_OPEN if self._is_open else MIN_TOKENS)
        num_streams = self._own.num_threads if num_streams is None else num_streams
        if num_streams == 1 or not self._is_possible or not is_worth_it:
            return self._own, 1
        self._is_open = True
        return self._own.single_threaded(), num_streams


def side_by_side(
    function: Callable[[Item], Result], items: Iterable[Item], num_streams: int, threads: Executor | None = None
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with its result, in order, with ``num_streams`` at work and as many waiting.

    Args:
        function: called with each item.
        items: taken as they are needed.
        num_streams: calls at the same time; a single one is made in the caller's thread.
        threads: as many, which outlive the calls; None starts them here and ends them.
    """
    if num_streams == 1:
        for item in items:
            yield item, function(item)
        return
    pool = threads or ThreadPoolExecutor(num_streams, thread_name_prefix="headway-run")
    pending: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            pending.append((item, pool.submit(function, item)))
            if len(pending) == 2 * num_streams:
                first, future = pending.popleft()
                yield first, future.result()
        while pending:
            item, future = pending.popleft()
            yield item, future.result()
    finally:
        if pending:
            wait([future for _, future in pending if not future.cancel()])
        if threads is None:
            pool.shutdown()


def _model_bytes(session: Session) -> int:
    files = [session.path, *session.path.parent.glob(f"{session.path.name}_data*")]
    return sum(file.stat().st_size for file in files if file.is_file())
