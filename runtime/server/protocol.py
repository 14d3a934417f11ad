"""HTTP/1.1 on a socket, with limits that uvicorn's own protocol lacks: time and size of a request's head."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_TIMEOUT_S = 10.0
"""Seconds from the first byte of a connection, or of a further request on it, to the end of the request's head."""

MAX_HEAD_BYTES = 64 << 10


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol that drops clients who take for ever to ask, and lets an application drop one."""

    head_timeout_s = HEAD_TIMEOUT_S
    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head_bytes = 0
        if self._head_timer is None:
            self._start_timer()
        scope: Any = self.scope
        scope["headway.abort"] = self.transport.abort

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
        self._stop_timer()
        super().on_headers_complete()

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_s, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
