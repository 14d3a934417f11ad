"""One HTTP request in progress: its body read within limits, its answer written, its client watched."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from starlette.types import Receive, Scope, Send

from .faults import TimedOutError
from .refusals import RefusedError

Result = TypeVar("Result")

_JSON_TYPES = ("application/json", "application/octet-stream")
# What is read of a body that is refused anyway.
_DISCARD_BYTES = 64 << 20
_DISCARD_TIMEOUT_S = 5.0
encode_json = msgspec.json.Encoder().encode


class ClientGoneError(Exception):
    """The client has closed the connection; there is nobody to answer."""


class Answer:
    """A whole answer.

    Args:
        body: bytes.
        status: HTTP status.
        content_type: of the body.
        headers: further headers.
    """

    def __init__(
        self,
        body: bytes,
        status: int = 200,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = [
            (b"content-type", content_type.encode("latin-1")),
            (b"content-length", str(len(body)).encode("ascii")),
            *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()),
        ]

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        """An answer that holds a value as JSON."""
        return cls(encode_json(value), status, headers=headers)

    async def send(self, send: Send) -> None:
        """Write it."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


class EventStream:
    """An answer that is written piece by piece as server-sent events.

    Args:
        events: the payload of each event.
        send_timeout_s: longest time the client may take to accept one.
    """

    status = 200

    def __init__(self, events: AsyncIterator[bytes], send_timeout_s: float) -> None:
        self._events = events
        self._send_timeout_s = send_timeout_s

    async def send(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write the events until they end or the client leaves; the iterator is closed either way."""
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
        ]
        gone = asyncio.ensure_future(_disconnected(receive))
        writing = asyncio.ensure_future(self._write(scope, send, headers))
        try:
            await asyncio.wait({gone, writing}, return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                writing.result()
        finally:
            await _cancel(writing)
            await _cancel(gone)
            close = getattr(self._events, "aclose", None)
            if close is not None:
                await close()

    async def _write(self, scope: Scope, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        try:
            await self._send(send, {"type": "http.response.start", "status": self.status, "headers": headers})
            async for payload in self._events:
                await self._send(send, {"type": "http.response.body", "body": payload, "more_body": True})
            await self._send(send, {"type": "http.response.body", "body": b""})
        except TimeoutError:
            # The client stopped reading: without this the connection and what waits for it would stay.
            abort = scope.get("headway.abort")
            if abort is not None:
                abort()

    async def _send(self, send: Send, message: Any) -> None:
        async with asyncio.timeout(self._send_timeout_s):
            await send(message)


async def read_body(scope: Scope, receive: Receive, max_bytes: int, timeout_s: float) -> bytes:
    """The body of a request.

    Raises:
        RefusedError: it is compressed or too large, or took too long to arrive.
        ClientGoneError: the client left.
    """
    headers = dict(scope["headers"])
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding != b"identity":
        raise RefusedError(
            415,
            f"The body is compressed by {encoding[:20].decode('latin-1')}; send it as it is.",
            param="content-encoding",
            code="unsupported_media_type",
        )
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > max_bytes:
        # Who asks before sending has sent nothing yet, and need not.
        if b"expect" not in headers:
            await _discard_body(receive)
        raise _too_large(max_bytes)
    chunks: list[bytes] = []
    size_bytes = 0
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                chunk = message.get("body", b"")
                size_bytes += len(chunk)
                has_more = message.get("more_body", False)
                if size_bytes > max_bytes:
                    break
                chunks.append(chunk)
                if not has_more:
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
    except TimeoutError as error:
        raise RefusedError(
            408,
            f"The request's body took longer than {timeout_s:g} s.",
            code="timeout",
            headers={"Connection": "close"},
        ) from error
    chunks.clear()
    if has_more:
        await _discard_body(receive)
    raise _too_large(max_bytes)


async def _discard_body(receive: Receive) -> None:
    """Read on for a while: a client that is still writing when the connection closes never sees the answer.

    Raises:
        ClientGoneError: the client left.
    """
    num_bytes = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_TIMEOUT_S):
            while num_bytes < _DISCARD_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                num_bytes += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def require_json_type(scope: Scope) -> None:
    """Refuse a body that says it is something else than JSON.

    Raises:
        RefusedError: another content type, as a web page's form sends it.
    """
    for name, value in scope["headers"]:
        if name == b"content-type":
            kind = value.split(b";")[0].strip().lower().decode("latin-1")
            if kind and kind not in _JSON_TYPES:
                raise RefusedError(415, f"The body is {kind}; send application/json.", code="unsupported_media_type")


async def until_done(future: asyncio.Future[Result], scope: Scope, receive: Receive, timeout_s: float) -> Result:
    """Wait for a result while the client stays.

    Args:
        future: of the result; cancelled where nobody waits for it any more.
        scope: of the request, with this server's ``headway.watch`` or without.
        receive: tells when the client leaves, where the scope has no such function.
        timeout_s: longest wait.

    Raises:
        ClientGoneError: it left.
        TimedOutError: it took too long.
    """
    reasons: list[Exception] = []

    def give_up(reason: Exception) -> None:
        if not future.done():
            reasons.append(reason)
            future.cancel()

    too_long = TimedOutError(f"The answer took longer than {timeout_s:g} s. Ask for less, or try again later.")
    timer = asyncio.get_running_loop().call_later(timeout_s, give_up, too_long)
    forget = _watch(scope, receive, lambda: give_up(ClientGoneError()))
    try:
        return await future
    except asyncio.CancelledError:
        if reasons and future.cancelled():
            raise reasons[0] from None
        raise
    finally:
        timer.cancel()
        forget()
        future.cancel()


def _watch(scope: Scope, receive: Receive, when_gone: Callable[[], None]) -> Callable[[], object]:
    """Be told that the client left; what is called to be told no more."""
    watch: Callable[[Callable[[], None] | None], None] | None = scope.get("headway.watch")
    if watch is not None:
        watch(when_gone)
        return lambda: watch(None)
    gone = asyncio.ensure_future(_disconnected(receive))
    gone.add_done_callback(lambda task: None if task.cancelled() else when_gone())
    return gone.cancel


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(task: asyncio.Future[Any]) -> None:
    if not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _too_large(max_bytes: int) -> RefusedError:
    # Closed, so that nobody has to read the rest.
    return RefusedError(
        413,
        f"The request is larger than {max_bytes} bytes. Send less at a time.",
        code="payload_too_large",
        headers={"Connection": "close"},
    )
