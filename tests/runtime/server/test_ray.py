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
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from serving import events

from headway.runtime import pipeline
from headway.runtime.cli import main
from headway.runtime.errors import OptionError
from headway.runtime.server import ray_serve
from headway.runtime.server.settings import ServerSettings

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'headway[ray]'"
)
START_TIMEOUT_S = 120


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
def cluster(
    head_folders: dict[str, Path], chat_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["--ray", "--port", str(port), "--threads", "1", "--max-replicas", "2", "--target-requests", "1"]
    models = [f"embedder={head_folders['embedder']}", f"chat={chat_folder}"]
    code = "import sys; from headway.runtime.cli import main; sys.exit(main(sys.argv[1:]))"
    # Ray runs replicas at a low priority, where they would starve beside other tests.
    environment = {
        **os.environ,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": str(tmp_path_factory.mktemp("r")),
        "RAY_worker_niceness": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", *arguments, *models], stderr=subprocess.PIPE, text=True, env=environment
    )
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
        while _num_replicas(cluster[0].pid) < 2:
            assert time.monotonic() < end, "no replica is added"
            assert set(pool.map(ask, range(16))) == {200}


def _num_replicas(driver: int) -> int:
    """Processes that Ray has named after the deployment's replicas."""
    titles = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            titles.append(path.read_bytes())
        except OSError:
            continue
    return sum(b"ServeReplica:headway:headway" in title for title in titles)
