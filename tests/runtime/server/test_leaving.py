"""Clients that leave, drip or stop reading: their slots are free at once, and others do not notice."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from pathlib import Path

import pytest
from serving import CHAT, RunningServer, eventually, limited, running

from headway.runtime.server.protocol import LimitedProtocol
from headway.runtime.server.settings import EngineSettings


def test_a_head_that_never_ends_is_dropped(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow-loris: some bytes of a request, and then nothing."""
    monkeypatch.setattr(LimitedProtocol, "head_timeout_s", 0.2)
    for beginning in (b"", b"GET /hea", b"GET /health HTTP/1.1\r\nx: "):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as slow:
            slow.sendall(beginning)
            assert _reads_end(slow)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as again:
        again.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert again.recv(1000).startswith(b"HTTP/1.1 200")
        again.sendall(b"GET /hea")
        assert _reads_end(again)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as large:
        large.sendall(b"GET /health HTTP/1.1\r\n" + b"x: y\r\n" * 30_000)
        assert _reads_end(large)


def _reads_end(client: socket.socket) -> bool:
    try:
        while client.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


def test_who_leaves_mid_stream_frees_the_slot(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = server.served("chat").engine
    decode = engine._slots.decode
    monkeypatch.setattr(engine._slots, "decode", lambda tokens: (time.sleep(0.01), decode(tokens))[1])
    body = {**CHAT, "max_tokens": 400, "stream": True, "logit_bias": {"0": -100}}
    with server.client.stream("POST", "/v1/chat/completions", json=body) as streamed:
        lines = streamed.iter_lines()
        next(lines)
        eventually(lambda: engine.num_running == 1)
    eventually(lambda: engine.num_running == 0)
    # Not streamed: the client hangs up while it waits.
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        content = json.dumps({**body, "stream": False}).encode()
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(content), content)
        )
        eventually(lambda: engine.num_running == 1)
    eventually(lambda: engine.num_running == 0)


def test_who_leaves_before_the_first_token(chat_folder: Path) -> None:
    """One while its prompt runs, one in the queue; streamed or not, neither keeps the next client waiting."""
    with running({"chat": chat_folder}, limited(engine=EngineSettings(max_sequences=1))) as server:
        engine = server.served("chat").engine
        free = threading.Event()
        extend = engine._slots.extend
        engine._slots.extend = lambda *arguments: (free.wait(20), extend(*arguments))[1]
        for is_streamed in (True, False):
            free.clear()
            content = json.dumps({**CHAT, "max_tokens": 400, "logit_bias": {"0": -100}, "stream": is_streamed})
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n\r\n"
            clients = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(2)]
            for client, is_there in zip(
                clients, (lambda: engine.num_running == 1, lambda: engine.num_waiting == 1), strict=True
            ):
                client.sendall((head + content).encode())
                eventually(is_there)
            for client in clients:
                client.close()
            eventually(lambda: server.server.num_requests == 0)
            free.set()
            steps = engine.num_steps
            eventually(lambda: engine.num_running == engine.num_waiting == 0)
            assert engine.num_steps - steps <= 3
            assert server.post("/v1/chat/completions", {**CHAT, "max_tokens": 2}).status_code == 200


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
def test_who_leaves_with_a_further_request_in_line(chat_folder: Path, is_streamed: bool) -> None:
    """Requests sent before their answers have come: the one that runs is told, not just the last."""
    with running({"chat": chat_folder}, limited(engine=EngineSettings(max_sequences=1))) as server:
        engine = server.served("chat").engine
        free = threading.Event()
        extend = engine._slots.extend
        engine._slots.extend = lambda *arguments: (free.wait(20), extend(*arguments))[1]
        content = json.dumps({**CHAT, "max_tokens": 400, "logit_bias": {"0": -100}, "stream": is_streamed})
        request = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n\r\n{content}"
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
            client.sendall(request.encode() * 3)
            eventually(lambda: engine.num_running == 1)
        eventually(lambda: server.server.num_requests == 0, 10)
        free.set()
        eventually(lambda: engine.num_running == engine.num_waiting == 0)
        assert engine.num_steps <= 3


@pytest.mark.parametrize("is_chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_that_drips_is_dropped(head_folders: dict[str, Path], is_chunked: bool) -> None:
    """Slow-loris on the body: every byte is in time, and the whole never is."""
    with running({"embedder": head_folders["embedder"]}, limited(body_timeout_s=0.4)) as server:
        length = b"transfer-encoding: chunked" if is_chunked else b"content-length: 1000"
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as slow:
            slow.sendall(b"POST /embed HTTP/1.1\r\nhost: x\r\n" + length + b"\r\n\r\n")
            slow.setblocking(False)
            started = time.monotonic()
            answer = b""
            while not answer and time.monotonic() - started < 10:
                slow.send(b"1\r\n{\r\n" if is_chunked else b"{")
                time.sleep(0.05)
                with contextlib.suppress(BlockingIOError):
                    answer = slow.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408")
        assert server.post("/embed", {"inputs": "good"}).status_code == 200


def test_who_stops_reading_is_dropped(chat_folder: Path) -> None:
    with running({"chat": chat_folder}, limited(send_timeout_s=0.3)) as server:
        body = json.dumps({**CHAT, "max_tokens": 450, "stream": True, "logprobs": True, "top_logprobs": 20, "n": 8})
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", server.port))
            client.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s"
                % (len(body), body.encode())
            )
            eventually(lambda: server.served("chat").engine.num_running > 0)
            eventually(lambda: server.server.num_requests == 0, 30)
            eventually(lambda: server.served("chat").engine.num_running == 0)
