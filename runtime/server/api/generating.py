"""What generating endpoints share: a stream of pieces measured on its way, gathered or written as events."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from ...errors import HeadwayError
from ..bridge import TokenStream
from ..endpoints import Call
from ..engine.requests import Piece, TokenLogprob
from ..engine.sequence import Sequence
from ..faults import TimedOutError
from ..http import encode_json, until_done
from ..refusals import RefusedError, refusal_of
from ..served_model import ServedModel
from ..tracing import SequenceTimes

DONE = b"data: [DONE]\n\n"


def refuse_fields(request: Any, allowed: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuse fields that are known and do nothing here, unless they ask for nothing.

    Args:
        request: the decoded body.
        allowed: field → values that ask for nothing, beside None.

    Raises:
        RefusedError: names the field.
    """
    for name, neutral in allowed.items():
        value = getattr(request, name)
        if value is not None and value not in neutral:
            raise RefusedError(
                400, f"{name} is not available here; leave it out.", param=name, code="unsupported_parameter"
            )


def require_room(call: Call, num_sequences: int) -> None:
    """Refuse more sequences than the queue ever holds: waiting would not help.

    Raises:
        RefusedError: there are too many.
    """
    limit = call.server.settings.engine.max_waiting
    if num_sequences > limit:
        raise RefusedError(
            400,
            f"n asks for {num_sequences} answers in all; at most {limit} are written for a request.",
            param="n",
            code="invalid_value",
        )


def new_id(prefix: str) -> str:
    """An id for an answer."""
    return f"{prefix}-{os.urandom(12).hex()}"


class Generation:
    """The sequences of one request, running.

    Args:
        call: the request.
        served: the model.
        sequences: what to run.

    Raises:
        BusyError, UnavailableError: they cannot be queued.
    """

    def __init__(self, call: Call, served: ServedModel, sequences: Iterable[Sequence]) -> None:
        sequences = tuple(sequences)
        self._call = call
        self._name = served.name
        self._stream: TokenStream = call.server.bridge.stream(served, sequences)
        self._prompts = {sequence.request.index: len(sequence.request.prompt_ids) for sequence in sequences}
        self._started = time.monotonic()
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._num_pieces: Counter[int] = Counter()
        self.num_new_tokens = 0
        self._cached: dict[int, int] = {}
        call.model = served.name

    async def pieces(self) -> AsyncIterator[Piece]:
        """Each piece as it comes, measured.

        Raises:
            TimedOutError: the whole took too long.
            HeadwayError: the sequences could not go on.
        """
        timeout_s = self._call.server.settings.request_timeout_s
        pieces = self._stream.pieces()
        try:
            async with asyncio.timeout(timeout_s):
                async for piece in pieces:
                    self._measure(piece)
                    yield piece
        except TimeoutError as error:
            raise TimedOutError(f"The answer took longer than {timeout_s:g} s. Ask for less at a time.") from error
        finally:
            self._stream.cancel()

    async def gathered(self, num_choices: int) -> list[list[Piece]]:
        """All pieces of each choice, while the client stays."""
        choices: list[list[Piece]] = [[] for _ in range(num_choices)]

        async def gather() -> list[list[Piece]]:
            async for piece in self.pieces():
                choices[piece.index].append(piece)
            return choices

        timeout_s = self._call.server.settings.request_timeout_s
        try:
            return await until_done(asyncio.ensure_future(gather()), self._call.scope, self._call.receive, timeout_s)
        finally:
            self._stream.cancel()

    def num_cached_tokens(self, choices_per_prompt: int) -> int:
        """Tokens of all prompts that were not run again; a prompt counts once, however many choices continue it."""
        return sum(count for index, count in self._cached.items() if index % choices_per_prompt == 0)

    def _measure(self, piece: Piece) -> None:
        now = time.monotonic()
        metrics = self._call.server.metrics
        is_first = piece.index not in self._last
        if is_first:
            self._first[piece.index] = now
            metrics.observe_prompt(self._name, self._prompts[piece.index], piece.num_cached_tokens)
            self._cached[piece.index] = piece.num_cached_tokens
        metrics.observe_token(self._name, now - self._last.get(piece.index, self._started), is_first=is_first)
        self._last[piece.index] = now
        self.num_new_tokens += 1
        self._num_pieces[piece.index] += 1
        self._call.num_tokens = {"prompt": sum(self._prompts.values()), "new": self.num_new_tokens}
        if piece.finish_reason is not None:
            self._call.trace.sequence(self._times(piece, now))

    def _times(self, last: Piece, now: float) -> SequenceTimes:
        return SequenceTimes(
            started=self._started,
            queue_s=last.queue_s,
            first_token=self._first[last.index],
            last_token=now,
            num_prompt_tokens=self._prompts[last.index],
            num_cached_tokens=last.num_cached_tokens,
            num_new_tokens=self._num_pieces[last.index],
        )


def event(value: Any) -> bytes:
    """A value as one server-sent event."""
    return b"data: " + encode_json(value) + b"\n\n"


async def with_errors(call: Call, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Events, and an event with the error where they break off."""
    try:
        async for payload in events:
            yield payload
    except HeadwayError as error:
        yield event(call.endpoint.error_body(refusal_of(error)))


def text_of(pieces: Iterable[Piece]) -> str:
    """The text of all pieces."""
    return "".join(piece.text for piece in pieces)


def finish_reason(pieces: list[Piece]) -> Any:
    """Why a choice ended."""
    return pieces[-1].finish_reason


def logprobs_of(pieces: Iterable[Piece]) -> list[TokenLogprob]:
    """The probabilities of all pieces that have one."""
    return [piece.logprob for piece in pieces if piece.logprob is not None]
