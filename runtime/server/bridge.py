"""Between the event loop, which never runs a model, and the threads that do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from starlette.types import Receive, Scope

from ..errors import HeadwayError
from .engine.engine import Outcome as EngineOutcome
from .engine.requests import Piece
from .engine.sequence import Sequence
from .heads.batcher import HeadResult
from .heads.batcher import Outcome as HeadOutcome
from .http import until_done
from .served_model import HeadRequest, ServedModel


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

    async def run_head(
        self, served: ServedModel, request: HeadRequest, scope: Scope, receive: Receive, timeout_s: float
    ) -> HeadResult:
        """What a head, or a call of the model, gives for a request.

        Raises:
            HeadwayError: an input or option cannot be used, or the server is busy.
            ClientGoneError: the client left.
        """
        future: asyncio.Future[HeadResult] = self._loop.create_future()
        cancel = served.start_head(request, self.deliver, _settler(future))
        try:
            return await until_done(future, scope, receive, timeout_s)
        finally:
            cancel()

    def stream(self, served: ServedModel, sequences: Iterable[Sequence]) -> TokenStream:
        """Start sequences; their pieces come out of the stream.

        Raises:
            BusyError, UnavailableError: they cannot be queued.
        """
        sequences = tuple(sequences)
        stream = TokenStream(len(sequences))
        stream.cancel = served.start_sequences(sequences, self.deliver, stream.receive)
        return stream


class TokenStream:
    """Pieces of a request's sequences, in the loop; leaving it frees their slots.

    Args:
        num_sequences: how many there are.
    """

    def __init__(self, num_sequences: int) -> None:
        self._outcomes: asyncio.Queue[EngineOutcome] = asyncio.Queue()
        self._num_open = num_sequences
        self.cancel: Callable[[], None] = lambda: None
        """Leave."""

    def receive(self, outcome: EngineOutcome) -> None:
        """Take what the engine has for the request."""
        self._outcomes.put_nowait(outcome)

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
