"""Between the event loop, which never runs a model, and the threads that do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

from starlette.types import Receive

from ..errors import HeadwayError
from .engine.engine import GenerationEngine, Ticket
from .engine.engine import Outcome as EngineOutcome
from .engine.requests import Piece
from .engine.sequence import Sequence as TokenSequence
from .heads.batcher import HeadBatcher, HeadResult, Job
from .heads.batcher import Outcome as HeadOutcome
from .http import until_done


class Bridge:
    """Carries requests to worker threads and what they give back to the loop.

    Args:
        loop: where answers are written.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def deliver(self, outcomes: list[tuple[Any, Any]]) -> None:
        """Hand a round's or a step's outcomes over; called in a worker's thread."""
        # After a shutdown nobody waits for them.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_receive_all, outcomes)

    async def run_items(
        self,
        batcher: HeadBatcher,
        pipeline: Any,
        items: Sequence[Any],
        options: Mapping[str, Any],
        receive: Receive,
        timeout_s: float,
    ) -> HeadResult:
        """Results of a head for a list of inputs.

        Raises:
            HeadwayError: an input or option cannot be used, or the server is busy.
            ClientGoneError: the client left.
        """
        future = self._future()
        job = Job(self.deliver, _settler(future), pipeline=pipeline, items=items, options=options)
        return await self._result(batcher, job, future, receive, timeout_s)

    async def run_call(
        self, batcher: HeadBatcher, call: Callable[[], Any], receive: Receive, timeout_s: float
    ) -> HeadResult:
        """What a function gives, run in the model's thread; raises as :meth:`run_items`."""
        future = self._future()
        return await self._result(batcher, Job(self.deliver, _settler(future), call=call), future, receive, timeout_s)

    def stream(self, engine: GenerationEngine, sequences: Iterable[TokenSequence]) -> TokenStream:
        """Start sequences; their pieces come out of the stream.

        Raises:
            BusyError, UnavailableError: they cannot be queued.
        """
        stream = TokenStream()
        ticket = Ticket(sequences, self.deliver, stream.receive)
        stream.begin(ticket)
        engine.submit(ticket)
        return stream

    async def _result(
        self, batcher: HeadBatcher, job: Job, future: asyncio.Future[HeadResult], receive: Receive, timeout_s: float
    ) -> HeadResult:
        batcher.submit(job)
        try:
            return await until_done(future, receive, timeout_s)
        finally:
            job.cancel()

    def _future(self) -> asyncio.Future[HeadResult]:
        return self._loop.create_future()


class TokenStream:
    """Pieces of a request's sequences, in the loop; leaving it frees their slots."""

    def __init__(self) -> None:
        self._outcomes: asyncio.Queue[EngineOutcome] = asyncio.Queue()
        self._num_open = 0
        self._cancel: Callable[[], None] = lambda: None

    def begin(self, ticket: Ticket) -> None:
        """Follow a ticket."""
        self._num_open = len(ticket.sequences)
        self._cancel = ticket.cancel

    def receive(self, outcome: EngineOutcome) -> None:
        """Take what the engine has for the ticket."""
        self._outcomes.put_nowait(outcome)

    def cancel(self) -> None:
        """Leave."""
        self._cancel()

    async def pieces(self) -> AsyncIterator[Piece]:
        """Each piece as it comes, until every sequence has ended.

        Raises:
            HeadwayError: the sequences could not go on.
        """
        try:
            while self._num_open:
                outcome = await self._outcomes.get()
                if isinstance(outcome, HeadwayError):
                    raise outcome
                self._num_open -= outcome.finish_reason is not None
                yield outcome
        finally:
            self.cancel()


def _settler(future: asyncio.Future[HeadResult]) -> Callable[[HeadOutcome], None]:
    def settle(outcome: HeadOutcome) -> None:
        if future.done():
            return
        if isinstance(outcome, HeadwayError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    return settle


def _receive_all(outcomes: list[tuple[Any, Any]]) -> None:
    for owner, outcome in outcomes:
        owner.receive(outcome)
