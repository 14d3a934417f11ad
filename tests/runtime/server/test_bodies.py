"""Bodies that are refused: the client that is still sending one hears why."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import RunningServer, running

from headway.runtime.server.settings import ServerSettings

LARGE = b'{"inputs": "' + b"good " * (1 << 20) + b'"}'


@pytest.fixture(scope="module")
def strict(head_folders: dict[str, Path]) -> Iterator[RunningServer]:
    """A server that takes small bodies only."""
    settings = ServerSettings(load={"num_threads": 1}, reload_interval_s=0, max_body_bytes=2000)
    with running({"embedder": head_folders["embedder"]}, settings) as server:
        yield server


@pytest.mark.parametrize("is_chunked", [False, True], ids=["declared", "chunked"])
def test_a_large_body_is_answered_and_not_only_cut_off(strict: RunningServer, is_chunked: bool) -> None:
    """More than sockets hold: who closes at once resets the connection under the client's hands."""
    for _ in range(5):
        content = (LARGE[start : start + 65536] for start in range(0, len(LARGE), 65536)) if is_chunked else LARGE
        # It sends everything before it looks at the answer, as most clients do.
        client = http.client.HTTPConnection("127.0.0.1", strict.port, timeout=30)
        client.request("POST", "/embed", content, {"content-type": "application/json"}, encode_chunked=is_chunked)
        refused = client.getresponse()
        assert refused.status == 413
        assert "larger than 2000 bytes" in json.loads(refused.read())["error"]
        assert refused.headers["connection"] == "close"
        client.close()
    assert strict.post("/embed", {"inputs": "good"}).status_code == 200


def test_a_body_that_is_there_already_is_answered_at_once(strict: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", strict.port), timeout=4) as client:
        chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (2100, b"x" * 2100)
        client.sendall(b"POST /embed HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + chunk)
        assert client.recv(4096).startswith(b"HTTP/1.1 413")


def test_who_asks_before_sending_need_not_send(strict: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", strict.port), timeout=5) as client:
        client.sendall(b"POST /embed HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9999\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_compressed_body_is_refused_as_such(server: RunningServer) -> None:
    body = gzip.compress(json.dumps({"inputs": "good"}).encode())
    for path in ("/embed", "/v2/models/classifier/infer"):
        headers = {"content-type": "application/json", "content-encoding": "gzip"}
        refused = server.client.post(path, content=body, headers=headers)
        assert refused.status_code == 415
        assert "gzip" in refused.text


@pytest.mark.parametrize("path", ["/embed", "/v1/pipelines/ner", "/v2/models/classifier/infer"])
def test_a_method_that_a_path_has_not(server: RunningServer, path: str) -> None:
    refused = server.get(path)
    assert refused.status_code == 405
    assert refused.headers["allow"] == "POST"
    assert refused.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": ["a"] * 100, "n": 2}),
        ("/v1/completions", {"prompt": ["a"] * 128, "n": 128}),
    ],
    ids=["some more", "far more"],
)
def test_more_answers_than_ever_wait_are_refused_for_good(server: RunningServer, path: str, body: dict) -> None:
    """429 would have the client come back, and be refused again."""
    refused = server.post(path, {"model": "chat", "max_tokens": 1, **body})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "n"
    assert "128" in refused.json()["error"]["message"]
