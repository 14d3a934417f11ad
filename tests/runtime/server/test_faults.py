"""What goes wrong at the edges: bodies, clients, limits, keys, models and stops."""

from __future__ import annotations

import concurrent.futures
import logging
import re
import shutil
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import CHAT, RunningServer, events, eventually, limited, process, running
from tiny_graphs import classifier_model, word_vectors, write_artifact

from headway.runtime.commands.serve import model_folders
from headway.runtime.errors import OptionError
from headway.runtime.server.settings import EngineSettings, HeadSettings


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"inputs": ',
        b'{"inputs": "\xff\xfe"}',
        b'{"inputs": "a"} x',
        b"[" * 100_000,
        b'{"inputs": NaN}',
        b"\x00\x01\x02",
        b'{"inputs": "\\ud800"}',
    ],
    ids=range(9),
)
def test_a_body_that_is_no_json_is_refused(server: RunningServer, body: bytes) -> None:
    for path in ("/embed", "/v1/embeddings", "/v2/rerank", "/v1/pipelines/ner", "/v1/chat/completions"):
        response = server.client.post(path, content=body, headers={"content-type": "application/json"})
        assert response.status_code in (400, 422)
        assert response.json()


def test_a_form_of_a_web_page_is_refused(server: RunningServer) -> None:
    assert server.client.post("/embed", data={"inputs": "x"}).status_code == 415


def test_paths_and_methods_that_do_not_exist(server: RunningServer) -> None:
    assert server.get("/nothing").status_code == 404
    assert server.get("/nothing").json()["error"]["code"] == "not_found"
    refused = server.get("/embed")
    assert refused.status_code == 405
    assert refused.headers["allow"] == "POST"
    assert server.client.head("/health").status_code == 200


def test_limits_of_size_and_time(chat_folder: Path, head_folders: dict[str, Path]) -> None:
    heads = HeadSettings(max_client_batch_size=4)
    settings = limited(max_body_bytes=2000, body_timeout_s=0.3, heads=heads, request_timeout_s=0.4)
    with running({"chat": chat_folder, "embedder": head_folders["embedder"]}, settings) as server:
        assert server.post("/embed", {"inputs": "good " * 500}).status_code == 413
        assert server.post("/embed", {"inputs": ["good"] * 5}).status_code == 413
        # Chunked: the length is not known before.
        chunks = (b"x" * 500 for _ in range(10))
        assert server.client.post("/embed", content=chunks).status_code == 413
        assert server.post("/embed", {"inputs": "good"}).status_code == 200

        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as slow:
            slow.sendall(b"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
            assert slow.recv(1000).startswith(b"HTTP/1.1 408")

        original = server.served("chat").engine._slots.decode
        server.served("chat").engine._slots.decode = lambda tokens: (time.sleep(0.05), original(tokens))[1]
        response = server.post("/v1/chat/completions", CHAT)
        assert response.status_code == 504
        eventually(lambda: server.served("chat").engine.num_running == 0)
        with server.client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as streamed:
            assert events(streamed)[-1]["error"]["code"] == "timeout"


def test_a_full_queue_is_answered_429(chat_folder: Path, head_folders: dict[str, Path]) -> None:
    settings = limited(heads=HeadSettings(max_waiting=1), engine=EngineSettings(max_sequences=1, max_waiting=1))
    with running({"chat": chat_folder, "embedder": head_folders["embedder"]}, settings) as server:
        free = threading.Event()
        engine, batcher = server.served("chat").engine, server.served("embedder").batcher
        hold = engine._slots.extend
        engine._slots.extend = lambda *arguments: (free.wait(20), hold(*arguments))[1]
        embed = server.served("embedder").pipelines["embed"]
        prepare = embed.prepare
        embed.prepare = lambda *arguments: (free.wait(20), prepare(*arguments))[1]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for path, body, worker in (
                ("/v1/chat/completions", {**CHAT, "max_tokens": 2}, engine),
                ("/embed", {"inputs": "good"}, batcher),
            ):
                before = pool.submit(httpx.post, server.url + path, json=body, timeout=30)
                eventually(lambda worker=worker: worker.num_waiting == 0 and server.server.num_requests)
                time.sleep(0.1)
                waiting = pool.submit(httpx.post, server.url + path, json=body, timeout=30)
                eventually(lambda worker=worker: worker.num_waiting == 1)
                refused = server.post(path, body)
                assert refused.status_code == 429
                assert int(refused.headers["retry-after"]) >= 1
                free.set()
                assert before.result().status_code == waiting.result().status_code == 200
                free.clear()
            free.set()


def test_keys(head_folders: dict[str, Path]) -> None:
    with running({"embedder": head_folders["embedder"]}, limited(api_keys=("one", "two"))) as server:
        body = {"inputs": "good"}
        assert server.post("/embed", body).status_code == 401
        for headers, status in (
            ({"authorization": "Bearer one"}, 200),
            ({"authorization": "bearer two"}, 200),
            ({"x-api-key": "two"}, 200),
            ({"authorization": "Bearer three"}, 401),
            ({"authorization": "Bearer"}, 401),
            ({"authorization": b"Bearer \xff"}, 401),
            ({"authorization": "Basic one"}, 401),
        ):
            assert server.post("/embed", body, headers=headers).status_code == status
        for path in ("/health", "/metrics", "/docs", "/v2/health/ready"):
            assert server.get(path).status_code == 200
        for path in ("/v1/models", "/info", "/v2/models/embedder"):
            assert server.get(path).status_code == 401


def test_browsers_of_other_sites_are_let_in_only_if_asked(head_folders: dict[str, Path]) -> None:
    folders = {"embedder": head_folders["embedder"]}
    headers = {"origin": "https://site.example", "access-control-request-method": "POST"}
    with running(folders) as server:
        assert "access-control-allow-origin" not in server.client.options("/embed", headers=headers).headers
    with running(folders, limited(cors_origins=("https://site.example",))) as server:
        allowed = server.client.options("/embed", headers=headers)
        assert allowed.headers["access-control-allow-origin"] == "https://site.example"
        other = server.client.options("/embed", headers={**headers, "origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers


def test_a_model_that_does_not_load_leaves_the_others(head_folders: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(head_folders["classifier"], broken)
    (broken / "onnx" / "model.onnx").write_bytes(b"nothing")
    with running({"broken": broken, "embedder": head_folders["embedder"]}) as server:
        assert server.get("/health").json() == {"status": "ok", "models": ["embedder"], "failed": ["broken"]}
        assert server.get("/v2/health/ready").status_code == 503
        assert server.post("/embed", {"inputs": "good"}).status_code == 200
        assert server.post("/predict", {"inputs": "good", "model": "broken"}).status_code == 503


def test_models_are_called_as_their_paths_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "release-7").mkdir()
    (tmp_path / "current").symlink_to(tmp_path / "release-7")
    monkeypatch.chdir(tmp_path / "release-7")
    given = [".", str(tmp_path / "current") + "/", f"chat={tmp_path}"]
    assert list(model_folders(given)) == ["release-7", "current", "chat"]
    with pytest.raises(OptionError, match="Two models are called current"):
        model_folders(["current", "x/current"])


def test_an_artifact_replaced_while_it_is_served(tmp_path: Path) -> None:
    """The old one answers until the new one is there, and nobody is dropped."""
    folder = write_artifact(tmp_path / "live")
    with running({"live": folder}, limited(reload_interval_s=0.1)) as server:
        ask = lambda: server.post("/predict", {"inputs": "good film", "raw_scores": True})  # noqa: E731
        before = {entry["label"]: entry["score"] for entry in ask().json()}
        is_over = threading.Event()

        def keep_asking() -> list[int]:
            statuses = []
            with httpx.Client(base_url=server.url) as client:
                while not is_over.is_set():
                    statuses.append(client.post("/predict", json={"inputs": "good film"}).status_code)
            return statuses

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            asking = [pool.submit(keep_asking) for _ in range(2)]
            replacement = write_artifact(tmp_path / "next", classifier_model(-word_vectors()))
            shutil.move(folder, tmp_path / "old")
            shutil.move(replacement, folder)
            eventually(lambda: server.server.registry.num_reloads == 1)
            (folder / "onnx" / "model.onnx").write_bytes(b"broken")
            eventually(lambda: server.server.registry.num_failed_reloads == 1)
            is_over.set()
            statuses = [status for done in asking for status in done.result()]
        assert set(statuses) == {200}
        after = {entry["label"]: entry["score"] for entry in ask().json()}
        assert after == {label: pytest.approx(-score, abs=1e-5) for label, score in before.items()}


def num_running(url: str) -> float:
    found = re.search(r'^headway_running\{model="chat"\} (\S+)$', httpx.get(f"{url}/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_sigterm_ends_what_was_accepted(chat_folder: Path, head_folders: dict[str, Path], num_workers: int) -> None:
    models = (f"chat={chat_folder}", f"embedder={head_folders['embedder']}")
    with (
        process("--workers", str(num_workers), *models) as (started, url),
        concurrent.futures.ThreadPoolExecutor(8) as pool,
    ):
        body = {**CHAT, "max_tokens": 300, "logit_bias": {"0": -100}, "n": 4}
        asked = [pool.submit(httpx.post, f"{url}/v1/chat/completions", json=body, timeout=60) for _ in range(6)]
        eventually(lambda: num_running(url) >= 6, 30)
        started.send_signal(signal.SIGTERM)
        answers = [future.result() for future in asked]
        assert [answer.status_code for answer in answers] == [200] * 6
        assert {answer.json()["usage"]["completion_tokens"] for answer in answers} == {4 * 300}
        assert started.wait(20) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health")


def test_nothing_that_a_request_contains_is_logged(
    server: RunningServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "confidential"
    with caplog.at_level(logging.INFO):
        server.post(
            "/v1/chat/completions", {**CHAT, "messages": [{"role": "user", "content": secret}], "max_tokens": 2}
        )
        server.post("/embed", {"inputs": secret})
        server.post("/embed", {"inputs": f"{secret} " * 100})
        server.post("/embed", {secret: secret})
        server.post(f"/v1/pipelines/{secret}", {"inputs": secret})
        server.get(f"/{secret}")
        server.client.post("/embed", content=secret.encode())
        pipeline = server.served("embedder").pipelines["embed"]

        def fail(*arguments: Any) -> None:
            raise RuntimeError(f"cannot embed {secret}")

        monkeypatch.setattr(pipeline.runner, "run_batch", fail)
        assert server.post("/embed", {"inputs": secret}).status_code == 503
    records = [record for record in caplog.records if record.name.startswith(("headway", "uvicorn"))]
    assert any("broke down" in record.getMessage() for record in records)
    assert not [record for record in records if secret in record.getMessage()]


def test_the_access_log_names_no_contents(head_folders: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    with running({"embedder": head_folders["embedder"]}, limited(access_log=True)) as server:
        with caplog.at_level(logging.INFO, "headway.access"):
            server.post("/embed?secret=1", {"inputs": "good film"})
            server.post("/embed", {"inputs": 3})
            # A line is written once the answer is out.
            eventually(lambda: server.server.num_requests == 0 and len(caplog.records) >= 2)
        lines = [record.getMessage() for record in caplog.records if record.name == "headway.access"]
    assert lines[0].startswith("POST /embed 200 ")
    assert lines[0].endswith("embedder tokens=4")
    assert lines[1].startswith("POST /embed 422 ")
    assert "secret" not in "".join(lines)


def test_measurements(head_folders: dict[str, Path], chat_folder: Path) -> None:
    with running({"embedder": head_folders["embedder"], "chat": chat_folder}) as server:
        server.post("/embed", {"inputs": ["good film", "bad"]})
        server.post("/embed", {"inputs": 3})
        server.post("/v1/chat/completions", {**CHAT, "max_tokens": 5})
        server.get("/metrics")
        text = server.get("/metrics").text
    for line in (
        'headway_requests_total{endpoint="/embed",status="200"} 1.0',
        'headway_requests_total{endpoint="/embed",status="422"} 1.0',
        'headway_batch_rows_sum{model="embedder"} 2.0',
        'headway_prompt_tokens_total{model="embedder"} 7.0',
        'headway_generated_tokens_total{model="chat"} 5.0',
        'headway_time_to_first_token_seconds_count{model="chat"} 1.0',
        'headway_time_per_token_seconds_count{model="chat"} 4.0',
        'headway_queue_seconds_count{model="embedder"} 1.0',
        'headway_queue_size{model="embedder"} 0.0',
        'te_request_count{method="/embed"} 2.0',
        "te_queue_size 0.0",
        "te_batch_next_tokens_sum 7.0",
    ):
        assert line in text
    # Pages and probes are no requests of text-embeddings-inference's, and its counter has no ending.
    assert 'te_request_count{method="/metrics"}' not in text
    assert "te_request_duration_count 3.0" in text
