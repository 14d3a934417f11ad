"""Models in processes of their own: the same answers, and what happens when one dies."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import pickle
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import CHAT, RunningServer, events, eventually, running
from tiny_graphs import classifier_model, word_vectors, write_artifact

from headway.runtime.errors import InputTooLongError
from headway.runtime.server.faults import BusyError, WorkerDiedError
from headway.runtime.server.refusals import RefusedError
from headway.runtime.server.settings import EngineSettings, ServerSettings
from headway.runtime.server.workers import worker as worker_module
from headway.runtime.server.workers.messages import Failure
from headway.runtime.server.workers.remote_model import RemoteModel

LONG = {**CHAT, "max_tokens": 400, "logit_bias": {"0": -100}}
SETTINGS = ServerSettings(load={"num_threads": 1}, reload_interval_s=0, drain_timeout_s=10, num_workers=1)


@pytest.fixture(scope="module")
def remote(chat_folder: Path, head_folders: dict[str, Path]) -> Iterator[RunningServer]:
    """The shared server's models, each in a process."""
    with running({"chat": chat_folder, **head_folders}, SETTINGS) as server:
        yield server


def worker_of(server: RunningServer, name: str) -> Any:
    return server.served(name).workers[0]


REQUESTS: dict[str, tuple[str, Any]] = {
    "chat": ("/v1/chat/completions", {**CHAT, "max_tokens": 12, "logprobs": True, "top_logprobs": 3, "n": 2}),
    "seed": ("/v1/chat/completions", {**CHAT, "max_tokens": 12, "temperature": 1, "seed": 3, "presence_penalty": 1}),
    "grammar": (
        "/v1/chat/completions",
        {**CHAT, "max_tokens": 20, "response_format": {"type": "regex", "regex": "[a-c]{5}"}},
    ),
    "completion": ("/v1/completions", {"model": "chat", "prompt": ["a", "b c"], "max_tokens": 5, "temperature": 0}),
    "embed": ("/embed", {"inputs": ["good film", "bad"]}),
    "ids": ("/v1/embeddings", {"model": "embedder", "input": [[5, 6, 7], [8]]}),
    "labels": ("/predict", {"inputs": [["good film"], ["bad", "film"]]}),
    "rerank": ("/v2/rerank", {"query": "film", "documents": ["good", "bad film", "the"]}),
    "entities": ("/v1/pipelines/token-classification", {"inputs": "good film"}),
    "tensors": (
        "/v2/models/classifier/infer",
        {"inputs": [{"name": "input_ids", "shape": [1, 3], "datatype": "INT64", "data": [5, 6, 7]}]},
    ),
    "metadata": ("/v2/models/chat", None),
    "info": ("/info", None),
    "too long": ("/embed", {"inputs": "good " * 600}),
    "wrong option": ("/v1/pipelines/token-classification", {"inputs": "x", "parameters": {"no_such": 1}}),
    "wrong grammar": (
        "/v1/chat/completions",
        {**CHAT, "response_format": {"type": "regex", "regex": "("}},
    ),
    "over the context": ("/v1/completions", {"model": "chat", "prompt": "a " * 600, "max_tokens": 5}),
}
CHANGING = {"id", "created"}


@pytest.mark.parametrize("name", REQUESTS)
def test_answers_are_those_of_one_process(server: RunningServer, remote: RunningServer, name: str) -> None:
    path, body = REQUESTS[name]
    here, there = (each.get(path) if body is None else each.post(path, body) for each in (server, remote))
    assert there.status_code == here.status_code
    assert_alike(there.json(), here.json())


def assert_alike(found: Any, expected: Any) -> None:
    """The same, numbers within what float32 leaves open: one process may have its weights packed, the other not yet."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        # What was cached depends on what was asked before.
        for name in expected.keys() - CHANGING - {"prompt_tokens_details"}:
            assert_alike(found[name], expected[name])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-4)
    else:
        assert found == expected


def test_streams_come_through(remote: RunningServer) -> None:
    whole = remote.post("/v1/chat/completions", {**CHAT, "max_tokens": 20}).json()["choices"][0]["message"]["content"]
    body = {**CHAT, "max_tokens": 20, "stream": True}
    with remote.client.stream("POST", "/v1/chat/completions", json=body) as streamed:
        found = events(streamed)
    assert found[-1] == "[DONE]"
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in found[:-1]) == whole


def test_who_leaves_frees_the_slot(remote: RunningServer) -> None:
    worker = worker_of(remote, "chat")
    left_early = False
    # On a busy machine the answer may be whole before anyone looks.
    for _ in range(20):
        with remote.client.stream("POST", "/v1/chat/completions", json={**LONG, "stream": True}) as streamed:
            next(streamed.iter_lines())
            left_early = left_early or worker.num_pending == 1
        eventually(lambda: worker.num_pending == 0)
        if left_early:
            break
    assert left_early
    eventually(lambda: worker.levels.num_running == 0)


def test_a_worker_that_is_killed_under_load(chat_folder: Path, head_folders: dict[str, Path]) -> None:
    """Its requests are answered 503, other models go on, and it is started again."""
    with (
        running({"chat": chat_folder, "embedder": head_folders["embedder"]}, SETTINGS) as server,
        concurrent.futures.ThreadPoolExecutor(8) as pool,
    ):
        worker = worker_of(server, "chat")
        killed = worker.process_id
        asked = [pool.submit(httpx.post, f"{server.url}/v1/chat/completions", json=LONG, timeout=60) for _ in range(4)]
        streamed = pool.submit(
            lambda: httpx.post(f"{server.url}/v1/chat/completions", json={**LONG, "stream": True}, timeout=60).text
        )
        eventually(lambda: worker.num_pending == 5)
        os.kill(killed, signal.SIGKILL)
        answers = [future.result() for future in asked]
        assert [answer.status_code for answer in answers] == [503] * 4
        assert {answer.json()["error"]["code"] for answer in answers} == {"worker_died"}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
        assert '"worker_died"' in streamed.result()

        assert server.post("/embed", {"inputs": "good"}).status_code == 200
        eventually(lambda: server.get("/v2/models/chat/ready").status_code == 200)
        assert worker.process_id != killed
        assert server.post("/v1/chat/completions", {**CHAT, "max_tokens": 3}).status_code == 200
        assert 'headway_worker_restarts{model="chat"} 1.0' in server.get("/metrics").text
        assert worker.num_pending == 0


def test_while_it_is_started_again(head_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway.runtime.server.workers.worker._FIRST_PAUSE_S", 1.0)
    folders = {name: head_folders[name] for name in ("embedder", "classifier")}
    with running(folders, SETTINGS) as server:
        os.kill(worker_of(server, "embedder").process_id, signal.SIGKILL)
        eventually(lambda: not server.served("embedder").is_ready)
        refused = server.post("/embed", {"inputs": "good"})
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert server.get("/health").json() == {"status": "ok", "models": ["classifier"], "failed": ["embedder"]}
        assert server.get("/v2/health/ready").status_code == 503
        assert server.get("/v2/models/embedder/ready").status_code == 503


def test_several_processes_share_the_load(chat_folder: Path) -> None:
    settings = replace(SETTINGS, num_workers=2, engine=EngineSettings(max_sequences=1, max_waiting=1))
    with running({"chat": chat_folder}, settings) as server, concurrent.futures.ThreadPoolExecutor(4) as pool:
        first, second = server.served("chat").workers
        assert first.process_id != second.process_id
        asked = [pool.submit(httpx.post, f"{server.url}/v1/chat/completions", json=LONG, timeout=60) for _ in range(4)]
        eventually(lambda: first.num_pending == second.num_pending == 2)
        busy = server.post("/v1/chat/completions", {**LONG, "stream": True})
        assert busy.status_code == 429
        assert [future.result().status_code for future in asked] == [200] * 4
        os.kill(first.process_id, signal.SIGKILL)
        eventually(lambda: not first.is_ready)
        # The other one answers meanwhile.
        assert server.post("/v1/chat/completions", {**CHAT, "max_tokens": 2}).status_code == 200
        eventually(lambda: first.is_ready)


def test_an_artifact_replaced_under_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new process takes over while the old one answers what it has; nobody is dropped, and the old one ends."""
    monkeypatch.setattr("headway.runtime.server.registry._RETIRE_AFTER_S", 0.5)
    folder = write_artifact(tmp_path / "live")
    replacement = write_artifact(tmp_path / "next", classifier_model(-word_vectors()))
    is_over = threading.Event()

    def keep_asking(url: str) -> list[tuple[int, float]]:
        found = []
        with httpx.Client(base_url=url) as client:
            while not is_over.is_set():
                answer = client.post("/predict", json={"inputs": "good film", "raw_scores": True})
                is_success = answer.status_code == 200
                found.append((answer.status_code, round(answer.json()[0]["score"], 4) if is_success else 0.0))
        return found

    settings = replace(SETTINGS, reload_interval_s=0.1)
    with running({"live": folder}, settings) as server, concurrent.futures.ThreadPoolExecutor(4) as pool:
        old = worker_of(server, "live")
        asking = [pool.submit(keep_asking, server.url) for _ in range(4)]
        eventually(lambda: server.server.num_requests > 0)
        shutil.move(folder, tmp_path / "old")
        shutil.move(replacement, folder)
        eventually(lambda: server.server.registry.num_reloads == 1)
        new = worker_of(server, "live")
        eventually(lambda: not Path(f"/proc/{old.process_id}").exists())
        is_over.set()
        found = [answer for done in asking for answer in done.result()]
        assert new.process_id != old.process_id
        assert old.num_deaths == new.num_deaths == 0
    assert {status for status, _ in found} == {200}
    # The best label's score of the one artifact, then that of the other, and nothing else.
    assert len({score for _, score in found}) == 2


def test_an_artifact_replaced_by_a_broken_one(tmp_path: Path) -> None:
    """The processes that there are go on, and none is left of the attempt; nor does a folder that is gone matter."""
    folder = write_artifact(tmp_path / "live")
    graph = folder / "onnx" / "model.onnx"
    whole = graph.read_bytes()
    with running({"live": folder}, replace(SETTINGS, num_workers=2, reload_interval_s=0.1)) as server:
        before = server.post("/predict", {"inputs": "good film"}).json()
        processes = {worker.process_id for worker in server.served("live").workers}
        registry = server.server.registry
        for number, content in enumerate((whole[: len(whole) // 2], b"", whole[:-200] + bytes(200)), 1):
            graph.write_bytes(content)
            eventually(lambda number=number: registry.num_failed_reloads == number)
            assert server.post("/predict", {"inputs": "good film"}).json() == before
        shutil.move(folder, tmp_path / "gone")
        time.sleep(0.5)
        assert server.post("/predict", {"inputs": "good film"}).json() == before
        assert registry.num_reloads == 0
        assert {worker.process_id for worker in server.served("live").workers} == processes
        assert processes == set(children_of(os.getpid())) & processes
        assert server.get("/health").json()["models"] == ["live"]


def test_a_worker_that_dies_while_its_artifact_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers 503 meanwhile, and comes back with its artifact."""
    monkeypatch.setattr("headway.runtime.server.workers.worker._LONGEST_PAUSE_S", 0.2)
    folder = write_artifact(tmp_path / "live")
    with running({"live": folder}, SETTINGS) as server:
        shutil.move(folder, tmp_path / "away")
        os.kill(worker_of(server, "live").process_id, signal.SIGKILL)
        eventually(lambda: server.get("/health").status_code == 503)
        refused = server.post("/predict", {"inputs": "good"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        time.sleep(1)
        shutil.move(tmp_path / "away", folder)
        eventually(lambda: server.get("/health").status_code == 200)
        assert server.post("/predict", {"inputs": "good"}).status_code == 200


def test_several_processes_start_or_none(head_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    start, started, calls = worker_module._start, [], itertools.count()

    def start_two(load: Any) -> Any:
        if next(calls) == 1:
            raise WorkerDiedError("out of memory")
        started.append(start(load))
        return started[-1]

    monkeypatch.setattr(worker_module, "_start", start_two)
    with pytest.raises(WorkerDiedError):
        RemoteModel.load("live", head_folders["embedder"], replace(SETTINGS, num_workers=3))
    assert len(started) == 2
    assert all(process.poll() is not None for process, _, _ in started)


def test_a_server_that_is_killed_leaves_no_process(remote: RunningServer, head_folders: dict[str, Path]) -> None:
    from serving import process

    with process("--workers", "1", f"embedder={head_folders['embedder']}") as (started, _):
        children = children_of(started.pid)
        assert children
        started.kill()
        eventually(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def children_of(process_id: int) -> list[int]:
    lists = Path(f"/proc/{process_id}/task").glob("*/children")
    return [int(child) for children in lists for child in children.read_text().split()]


@pytest.mark.parametrize(
    "error",
    [
        InputTooLongError("too long"),
        BusyError("busy", 7),
        RefusedError(404, "none", param="model", code="model_not_found", headers={"a": "b"}),
    ],
    ids=["plain", "with a default", "with names"],
)
def test_errors_travel(error: Any) -> None:
    found = pickle.loads(pickle.dumps(Failure.of(error))).error()
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert vars(found) == vars(error)
