"""The server on a local Ray cluster, as `headway serve --ray` starts it; without Ray only its options are tested."""

from __future__ import annotations

import concurrent.futures
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from serving import backbone_model, events
from tiny_graphs import VOCAB_SIZE, WORDS, write_artifact

from headway.runtime import pipeline
from headway.runtime.cli import main
from headway.runtime.errors import OptionError
from headway.runtime.server import ray_serve
from headway.runtime.server.settings import ServerSettings

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'headway[ray]'"
)
START_TIMEOUT_S = 120
# Each word's vector is so long that the graph is one whose weights are mapped.
LARGE_DIM = 600_000


@pytest.mark.parametrize("wrong", [{"min_replicas": 0}, {"min_replicas": 3, "max_replicas": 2}, {"target_requests": 0}])
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        ray_serve.RayOptions(**wrong)


def test_replicas_run_models_themselves_and_map_one_copy_of_the_weights() -> None:
    settings = ray_serve._replica_settings(ServerSettings(num_workers=2, load={"dtype": "q4", "num_threads": 3}))
    assert settings.num_workers == 0
    assert settings.load == {"dtype": "q4", "num_threads": 3, "session_cache": True}


def test_without_ray_the_extra_is_named(
    head_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["serve", "--ray", str(head_folders["embedder"])]) == 1
    assert "headway[ray]" in capsys.readouterr().err


@pytest.fixture(scope="module")
def large_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large") / "artifact"
    return write_artifact(folder, backbone_model(LARGE_DIM), "feature-extraction", "BertModel")


@needs_ray
def test_replicas_of_one_node_hold_one_copy_of_the_weights(
    large_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    arguments = ["--threads", "1", "--min-replicas", "2", "--max-replicas", "2", f"large={large_folder}"]
    cache = tmp_path_factory.mktemp("c")
    with on_ray(tmp_path_factory.mktemp("r"), arguments, HEADWAY_SESSION_CACHE=str(cache)) as (_, url):
        end = time.monotonic() + START_TIMEOUT_S
        while len(_replicas()) < 2:
            assert time.monotonic() < end, "there are no two replicas"
            time.sleep(0.1)
        body = {"inputs": " ".join(WORDS[5:]), "dimensions": 4}
        assert {httpx.post(f"{url}/embed", json=body, timeout=30).status_code for _ in range(20)} == {200}
        mapped = [_mapped_bytes(replica, cache) for replica in _replicas()]
    weights_bytes = VOCAB_SIZE * LARGE_DIM * 4
    assert len(mapped) == 2
    assert all(resident >= 0.5 * weights_bytes for resident, _ in mapped)
    # A page that several processes hold counts for each by its share.
    assert sum(share for _, share in mapped) <= 1.1 * max(resident for resident, _ in mapped)


@pytest.fixture(scope="module")
def cluster(
    head_folders: dict[str, Path], chat_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    arguments = ["--threads", "1", "--max-replicas", "2", "--target-requests", "1"]
    models = [f"embedder={head_folders['embedder']}", f"chat={chat_folder}"]
    with on_ray(tmp_path_factory.mktemp("r"), [*arguments, *models]) as started:
        yield started


@contextmanager
def on_ray(folder: Path, arguments: list[str], **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``headway serve --ray`` as a process on a cluster of its own, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code = "import sys; from headway.runtime.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "serve", "--ray", "--port", str(port), *arguments]
    # Ray runs replicas at a low priority, where they would starve beside other tests.
    environment = {
        **os.environ,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": str(folder),
        "RAY_worker_niceness": "0",
        **variables,
    }
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stderr is not None
        assert any("by Ray Serve" in line for line in process.stderr)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=START_TIMEOUT_S)


@needs_ray
def test_answers_are_those_of_the_pipeline(cluster: tuple[Any, str], head_folders: dict[str, Path]) -> None:
    answer = httpx.post(f"{cluster[1]}/embed", json={"inputs": ["good film", "bad"]}, timeout=30)
    expected = pipeline("embed", model=str(head_folders["embedder"]), device="cpu", normalize_embeddings=True)
    np.testing.assert_allclose(answer.json(), expected(["good film", "bad"]), atol=1e-6)
    assert httpx.get(f"{cluster[1]}/health", timeout=30).json()["models"] == ["embedder", "chat"]


@needs_ray
def test_chats_are_streamed(cluster: tuple[Any, str]) -> None:
    body = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "stream": True}
    with httpx.stream("POST", f"{cluster[1]}/v1/chat/completions", json=body, timeout=30) as response:
        pieces = events(response)
    assert pieces[-1] == "[DONE]"
    assert len(pieces) >= 8


@needs_ray
def test_a_long_queue_adds_a_replica(cluster: tuple[Any, str]) -> None:
    body = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 400}

    def ask(_: int) -> int:
        return httpx.post(f"{cluster[1]}/v1/chat/completions", json=body, timeout=60).status_code

    end = time.monotonic() + 60
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        while len(_replicas()) < 2:
            assert time.monotonic() < end, "no replica is added"
            assert set(pool.map(ask, range(16))) == {200}


def _replicas() -> list[int]:
    """Processes that Ray has named after the deployment's replicas."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = path.read_bytes()
        except OSError:
            continue
        if b"ServeReplica:headway:headway" in title:
            found.append(int(path.parent.name))
    return found


def _mapped_bytes(process_id: int, folder: Path) -> tuple[int, int]:
    """Bytes that a process holds of files in a folder: all, and its share of them (proc(5): smaps' Rss and Pss)."""
    found = {"Rss:": 0, "Pss:": 0}
    is_inside = False
    for line in Path(f"/proc/{process_id}/smaps").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            is_inside = words[-1].startswith(str(folder))
        elif is_inside and words[0] in found:
            found[words[0]] += int(words[1]) << 10
    return found["Rss:"], found["Pss:"]
