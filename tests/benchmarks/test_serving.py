"""The clients that measure the server: what they send, and what they make of its answers."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from serving import RunningServer, running, write_heads

from headway.benchmarks import serve_demo, serving, serving_heads
from headway.benchmarks.demo import Example
from headway.benchmarks.serving_chats import _follow, _row
from headway.benchmarks.serving_process import BlockingClient, Client, request


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    folders = write_heads(tmp_path_factory.mktemp("measured"))
    with running({"embedder": folders["embedder"]}) as server:
        yield server


def test_both_clients_get_the_same_answer_on_one_connection(server: RunningServer) -> None:
    sent = request("/embed", {"inputs": "good film"})

    async def twice() -> list[bytes]:
        client = await Client.open(server.port)
        answers = [await client.send(sent), await client.send(sent)]
        await client.close()
        return answers

    with BlockingClient(server.port) as client:
        answers = [client.send(sent), client.send(sent)]
    assert len(set(answers + asyncio.run(twice()))) == 1
    assert len(json.loads(answers[0])[0]) == 8


def test_a_refused_request_stops_the_measurement(server: RunningServer) -> None:
    with BlockingClient(server.port) as client, pytest.raises(ConnectionError, match="422"):
        client.send(request("/embed", {"inputs": 5}))


def test_every_text_is_sent_once_however_many_clients_there_are(server: RunningServer) -> None:
    requests = [request("/embed", {"inputs": "good " * count}) for count in range(1, 10)]
    counted = server.server.num_requests
    for num_clients in (1, 4):
        taken = asyncio.run(serving_heads._send_all(server.port, requests, num_clients))
        assert len(taken["milliseconds"]) == len(requests)
    assert server.server.num_requests == counted


def test_a_stream_is_timed_token_by_token() -> None:
    def event(content: str, **more: object) -> bytes:
        return b"data: " + json.dumps({"choices": [{"delta": {"content": content}}], **more}).encode() + b"\n\n"

    parts = [event(""), event("a"), event("b"), event("", usage={"completion_tokens": 2}), b"data: [DONE]\n\n"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in parts:
            writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await asyncio.sleep(0.02)
        writer.write(b"0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    taken = asyncio.run(_against(answer))
    assert taken["num_tokens"] == 2
    assert (len(taken["first_ms"]), len(taken["token_ms"])) == (1, 1)
    assert taken["token_ms"][0] == pytest.approx(20, abs=15)


async def _against(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> dict[str, object]:
    taken: dict[str, object] = {"num_tokens": 0, "first_ms": [], "token_ms": []}
    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    client = await Client.open(listening.sockets[0].getsockname()[1])
    await _follow(client, request("/chat", {}), taken)
    await client.close()
    listening.close()
    await listening.wait_closed()
    return taken


def test_ratios_are_medians_of_each_round() -> None:
    def round_(seconds: float, slowest: float) -> dict[str, object]:
        return {"num_tokens": 100, "seconds": seconds, "first_ms": [1.0], "token_ms": [slowest]}

    rounds = [{"alone": round_(4, 10), "together": round_(seconds, 20)} for seconds in (1, 2, 4)]
    row = _row("q4", "together", rounds)
    assert row["tokens a second / one's"] == 2
    assert row["p99 / one's"] == 2
    assert row[""] == "q4, 8 at once"


def test_the_command_runs_every_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(serving, "run_benchmarks", lambda names: asked.append(names) or 0)
    folder = ["--folder", str(Path("x"))]
    assert serving.main(folder) == 0
    assert serving.main(["serving_chats", *folder]) == 0
    assert asked == [[*serving.MEASUREMENTS, *folder], ["serving_chats", *folder]]


def test_the_demo_exports_what_is_missing_and_becomes_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = [Example(name, "embed", lambda folder: folder, [], []) for name in ("old", "new")]
    exported: list[tuple[Path, Path]] = []
    started: list[list[str]] = []
    monkeypatch.setattr(serve_demo, "EXAMPLES", examples)
    monkeypatch.setattr(serve_demo, "export_artifact", lambda *paths: exported.append(paths))
    monkeypatch.setattr(serve_demo.os, "execv", lambda program, arguments: started.append(arguments))
    (tmp_path / "artifacts/old").mkdir(parents=True)
    serve_demo.main(["--folder", str(tmp_path), "--port", "8123"])
    assert exported == [(tmp_path / "checkpoints/new", tmp_path / "artifacts/new")]
    assert started[0][1:] == [
        "serve",
        "--port",
        "8123",
        f"old={tmp_path / 'artifacts/old'}",
        f"new={tmp_path / 'artifacts/new'}",
    ]
    assert "curl localhost:8123/predict" in capsys.readouterr().out
