"""Messages over a socket, in both directions."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

# A socket that takes bytes at all takes this many without a wait.
_SMALL_BYTES = 16 << 10


class Channel:
    """One end of a connection between two processes.

    One side uses :meth:`send`, the other :meth:`post`, so that never both wait for each other.

    Args:
        connection: this end.
    """

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._backlog: deque[Any] = deque()
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
        with self._sending:
            self._connection.send(message)

    def post(self, message: Any) -> None:
        """Write a message without a wait, now or soon; it is lost where the other side is gone."""
        payload = ForkingPickler.dumps(message)
        with self._posted:
            if not self._backlog and len(payload) <= _SMALL_BYTES and self._poll.poll(0):
                with contextlib.suppress(OSError):
                    self._connection.send_bytes(payload)
                return
            self._backlog.append(payload)
            self._posted.notify()
            if self._poster is None:
                self._poster = threading.Thread(target=self._send_backlog, name="headway-channel", daemon=True)
                self._poster.start()

    def receive(self) -> Any:
        """The next message.

        Raises:
            EOFError: the other side is gone.
        """
        try:
            return self._connection.recv()
        except OSError as error:
            raise EOFError from error

    def messages(self) -> Iterator[Any]:
        """Each message as it comes, until the other side is gone."""
        with contextlib.suppress(EOFError):
            while True:
                yield self.receive()

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
