"""A server in a process of its own, and clients so light that they leave the processor to it."""

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from headway.runtime.errors import ExportError

from .real_models import fetch

_HOST = "127.0.0.1"


def artifact(name: str, dtypes: Sequence[str] = ("fp32",)) -> Path:
    """A real model exported for the measurements of the server, once for each set of precisions."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "headway" / "bench" / "serving" / "-".join([name, *dtypes])
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        headway = str(Path(sys.executable).with_name("headway"))
        command = [headway, "export", str(fetch(name)), str(folder), "--dtype", *dtypes]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


@contextlib.contextmanager
def server(*arguments: str) -> Iterator[int]:
    """``headway serve`` with these arguments; gives the port it listens on.

    Raises:
        ExportError: it ended before it was ready.
    """
    headway = str(Path(sys.executable).with_name("headway"))
    process = subprocess.Popen([headway, "serve", "--port", "0", *arguments], stderr=subprocess.PIPE, text=True)
    try:
        yield _port(process)
    finally:
        process.terminate()
        process.wait()


def _port(process: subprocess.Popen[str]) -> int:
    lines = []
    for line in process.stderr or ():
        lines.append(line)
        found = re.search(rf"http://{re.escape(_HOST)}:(\d+)", line)
        if found:
            return int(found[1])
    raise ExportError(f"The server did not start: {''.join(lines)}")


def request(path: str, body: Any) -> bytes:
    """The bytes of a POST with a JSON body."""
    payload = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {_HOST}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(payload)}\r\n\r\n".encode() + payload


class BlockingClient:
    """One connection that sends a request and waits: the least a client can cost."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((_HOST, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def send(self, sent: bytes) -> bytes:
        """The body of the answer to a request.

        Raises:
            ConnectionError: the answer is no success, or was cut off.
        """
        self._socket.sendall(sent)
        received = b""
        while True:
            chunk = self._socket.recv(1 << 16)
            if not chunk:
                raise ConnectionError("The server closed the connection.")
            received += chunk
            head, separator, body = received.partition(b"\r\n\r\n")
            if separator and len(body) >= _content_length(head):
                return body


class Client:
    """One connection in an event loop that carries many of them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect."""
        return cls(*await asyncio.open_connection(_HOST, port))

    async def send(self, sent: bytes) -> bytes:
        """The body of the answer to a request; raises as :meth:`BlockingClient.send`."""
        self._writer.write(sent)
        head = await self._reader.readuntil(b"\r\n\r\n")
        return await self._reader.readexactly(_content_length(head))

    async def events(self, sent: bytes) -> AsyncIterator[tuple[float, Any]]:
        """Each server-sent event of the answer with the time it came, in seconds of ``time.perf_counter``."""
        self._writer.write(sent)
        _require_success(await self._reader.readuntil(b"\r\n\r\n"))
        while True:
            line = await self._reader.readline()
            if line.startswith(b"data: [DONE]"):
                # What is left is the end of the chunked body, and then the next answer.
                await self._reader.readuntil(b"0\r\n\r\n")
                return
            if line.startswith(b"data: "):
                yield time.perf_counter(), json.loads(line[6:])

    async def close(self) -> None:
        """Leave."""
        self._writer.close()
        await self._writer.wait_closed()


def _content_length(head: bytes) -> int:
    _require_success(head)
    found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return int(found[1]) if found else 0


def _require_success(head: bytes) -> None:
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise ConnectionError(f"The server answered {head.splitlines()[0].decode()!r}.")
