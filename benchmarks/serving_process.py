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
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from headway.runtime.errors import ExportError

from .real_models import fetch

Result = TypeVar("Result")

_HOST = "127.0.0.1"
_SUCCESS = b"HTTP/1.1 200 "


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


@dataclass(frozen=True)
class Serving:
    """A server that runs.

    Args:
        port: where it listens.
        process_id: of its HTTP side; its workers are that process's children.
    """

    port: int
    process_id: int

    def worker_ids(self) -> list[int]:
        """Process ids of its workers."""
        return _children(self.process_id)

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time taken so far by the server's own process, its workers together, and this process."""
        workers = sum(map(_cpu_seconds, _children(self.process_id)))
        return {"server": _cpu_seconds(self.process_id), "workers": workers, "client": _cpu_seconds(os.getpid())}


@contextlib.contextmanager
def server(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Serving]:
    """``headway serve`` with these arguments, and environment variables beside this process's.

    Raises:
        ExportError: it ended before it was ready.
    """
    headway = str(Path(sys.executable).with_name("headway"))
    process = subprocess.Popen(
        [headway, "serve", "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    try:
        yield Serving(_port(process), process.pid)
    finally:
        process.terminate()
        process.wait()


def run_clients(clients: Coroutine[Any, Any, Result]) -> Result:
    """Run clients in the event loop that costs least."""
    try:
        from uvloop import new_event_loop
    except ModuleNotFoundError:
        return asyncio.run(clients)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(clients)


def _children(process_id: int) -> list[int]:
    listed = (path.read_text(encoding="ascii") for path in Path(f"/proc/{process_id}/task").glob("*/children"))
    return [int(child) for children in listed for child in children.split()]


def _cpu_seconds(process_id: int) -> float:
    """User and system time of a process's threads: fields 14 and 15 of proc(5)'s stat."""
    fields = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


class Client(asyncio.Protocol):
    """One connection in an event loop that carries many of them; it reads no more of an answer than it has to."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._received = bytearray()
        self._arrivals: list[tuple[int, float]] = []
        self._is_whole: Callable[[bytearray], bool] = _is_whole_answer
        self._answered: asyncio.Future[None] | None = None

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect."""
        return (await asyncio.get_running_loop().create_connection(cls, _HOST, port))[1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._received += data
        self._arrivals.append((len(self._received), time.perf_counter()))
        if self._answered is None or self._answered.done():
            return
        try:
            if self._is_whole(self._received):
                self._answered.set_result(None)
        except ConnectionError as error:
            self._answered.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionError("The server closed the connection."))

    async def send(self, sent: bytes) -> bytes:
        """The body of the answer to a request; raises as :meth:`BlockingClient.send`."""
        await self._send(sent, _is_whole_answer)
        return bytes(self._received.partition(b"\r\n\r\n")[2])

    async def events(self, sent: bytes) -> list[tuple[float, Any]]:
        """Each server-sent event of the answer with the time it came, in seconds of ``time.perf_counter``.

        They are read once all have come, so that reading takes no time from the server; raises as :meth:`send`.
        """
        await self._send(sent, _is_whole_stream)
        found = []
        start = 0
        for size, at in self._arrivals:
            end = self._received.rfind(b"\n", start, size) + 1 or start
            lines = bytes(self._received[start:end]).split(b"\n")
            found += [(at, json.loads(line[6:])) for line in lines if line.startswith(b"data: {")]
            start = end
        return found

    async def close(self) -> None:
        """Leave."""
        self._transport.close()

    async def _send(self, sent: bytes, is_whole: Callable[[bytearray], bool]) -> None:
        self._received, self._arrivals, self._is_whole = bytearray(), [], is_whole
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(sent)
        await self._answered


def _is_whole_answer(received: bytearray) -> bool:
    head, separator, body = received.partition(b"\r\n\r\n")
    return bool(separator) and len(body) >= _content_length(bytes(head))


def _is_whole_stream(received: bytearray) -> bool:
    """Whether the last chunk is there; an answer that is no stream is an error, and raises."""
    return received.endswith(b"0\r\n\r\n") if received.startswith(_SUCCESS) else _is_whole_answer(received)


def _content_length(head: bytes) -> int:
    _require_success(head)
    found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return int(found[1]) if found else 0


def _require_success(head: bytes) -> None:
    if not head.startswith(_SUCCESS):
        raise ConnectionError(f"The server answered {head.splitlines()[0].decode()!r}.")
