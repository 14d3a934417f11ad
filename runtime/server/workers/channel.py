"""Messages over a socket, in both directions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import select
import socket
import threading
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

# A socket that takes bytes at all takes this many without a wait.
_SMALL_BYTES = 16 << 10
_PROTOCOL = pickle.HIGHEST_PROTOCOL


class Channel:
    """One end of a connection between two processes.

    One side uses :meth:`send`, the other :meth:`post`, so that never both wait for each other. Lists of pickled
    messages go over the socket: to wake the other side costs more than a message does.

    Args:
        connection: this end.
    """

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._unsent: list[bytes] = []
        self._backlog: deque[bytes] = deque()
        self._posted = threading.Condition()
        self._is_ending = False
        self._poster: threading.Thread | None = None
        self._poll = select.poll()
        self._poll.register(connection.fileno(), select.POLLOUT)

    def send(self, message: Any) -> None:
        """Write a message, however long the other side takes to read; from any thread.

        Raises:
            OSError: the other side is gone.
        """
        payload = pickle.dumps([pickle.dumps(message, _PROTOCOL)], _PROTOCOL)
        with self._sending:
            self._connection.send_bytes(payload)

    def post(self, message: Any) -> None:
        """Write a message without a wait, now or soon; it is lost where the other side is gone.

        What is posted in one turn of an event loop is written together, at the next turn.
        """
        payload = pickle.dumps(message, _PROTOCOL)
        with self._posted:
            self._unsent.append(payload)
            if len(self._unsent) > 1:
                return
        try:
            asyncio.get_running_loop().call_soon(self._send_unsent)
        except RuntimeError:
            self._send_unsent()

    def receive(self) -> Any:
        """The next message, where the other side sends one at a time.

        Raises:
            EOFError: the other side is gone.
        """
        return next(self._receive())

    def messages(self) -> Iterator[Any]:
        """Each message as it comes, until the other side is gone."""
        with contextlib.suppress(EOFError):
            while True:
                yield from self._receive()

    def hang_up(self) -> None:
        """Say no more; the other side comes to the end of the messages, and so does this one once it has gone."""
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as again:
            again.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let go of this end; called by who reads, once there is nothing to read."""
        with self._posted:
            self._is_ending = True
            self._posted.notify()
        if self._poster is not None:
            self._poster.join()
        self._connection.close()

    def _receive(self) -> Iterator[Any]:
        """The messages that come next, at least one."""
        try:
            payloads = pickle.loads(self._connection.recv_bytes())
        except OSError as error:
            raise EOFError from error
        return map(pickle.loads, payloads)

    def _send_unsent(self) -> None:
        with self._posted:
            unsent, self._unsent = self._unsent, []
            if not unsent:
                return
            payload = pickle.dumps(unsent, _PROTOCOL)
            if not self._backlog and len(payload) <= _SMALL_BYTES and self._poll.poll(0):
                with contextlib.suppress(OSError):
                    self._connection.send_bytes(payload)
                return
            self._backlog.append(payload)
            self._posted.notify()
            if self._poster is None:
                self._poster = threading.Thread(target=self._send_backlog, name="headway-channel", daemon=True)
                self._poster.start()

    def _send_backlog(self) -> None:
        """Write what could not be written at once; a message leaves the backlog once it is out, so none overtakes."""
        with contextlib.suppress(OSError):
            while True:
                with self._posted:
                    self._posted.wait_for(lambda: self._backlog or self._is_ending)
                    if self._is_ending:
                        return
                    payload = self._backlog[0]
                self._connection.send_bytes(payload)
                with self._posted:
                    self._backlog.popleft()
