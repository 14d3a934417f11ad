"""HTTP/1.1 on a socket, with limits that uvicorn's own protocol lacks: time and size of a request's head."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_TIMEOUT_S = 10.0
"""Seconds from the first byte of a connection, or of a further request on it, to the end of the request's head."""

MAX_HEAD_BYTES = 64 << 10


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol that drops clients who take for ever to ask, and lets an application drop one.

    A request's scope holds ``headway.abort``, which drops the connection, and ``headway.watch``, which takes what is to
    be called when the client leaves (None: nothing): a task that waits for it would cost more than many an answer.
    """

    head_timeout_s = HEAD_TIMEOUT_S
    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _is_in_head = True
    _is_lost = False
    _when_gone: Callable[[], None] | None = None
    _running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._is_lost = True
        self._stop_timer()
        super().connection_lost(exc)
        # uvicorn tells the request that came last, and it may be waiting for the answer to an earlier one.
        if self._running is not None and self._running is not self.cycle:
            self._running.disconnected = not self._running.response_complete
            self._running.message_event.set()
        if self._when_gone is not None:
            self._when_gone()

    def data_received(self, data: bytes) -> None:
        """Read on; a head that is whole at once needs no timer."""
        super().data_received(data)
        if self._is_in_head and self._head_timer is None:
            self._start_timer()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head_bytes = 0
        self._is_in_head = True
        scope: Any = self.scope
        scope["headway.abort"] = self.transport.abort
        scope["headway.watch"] = self._watch

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count what the head holds."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            self.transport.abort()
            return
        super().on_header(name, value)

    def on_url(self, url: bytes) -> None:
        """Count what the head holds."""
        self._head_bytes += len(url)
        if self._head_bytes > MAX_HEAD_BYTES:
            self.transport.abort()
            return
        super().on_url(url)

    def on_headers_complete(self) -> None:
        """The head is there in time."""
        self._is_in_head = False
        self._stop_timer()
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle

    def on_response_complete(self) -> None:
        """The next request that waits, if any, begins."""
        if self.pipeline:
            self._running = self.pipeline[-1][0]
        super().on_response_complete()

    def _watch(self, when_gone: Callable[[], None] | None) -> None:
        self._when_gone = when_gone
        if when_gone is not None and self._is_lost:
            when_gone()

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_s, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
