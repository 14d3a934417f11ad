"""Servers on real sockets for tests: in a thread of the test's process, or a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import torch
import transformers
from tiny_graphs import classifier_model, model_proto, tagger_model, word_vectors, write_artifact
from tiny_tokenizers import build

from headway.export import export
from headway.runtime.server.lifecycle import http_server, open_socket
from headway.runtime.server.server import Server
from headway.runtime.server.settings import ServerSettings

CHAT_TEMPLATE = (
    "{% if tools %}<tools>{{ tools | tojson }}</tools>\n{% endif %}"
    "{% for message in messages %}<{{ message.role }}> {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
CONTEXT_LENGTH = 512
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hello world!"}], "temperature": 0}


class RunningServer:
    """A server that answers on a port."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return self.client.post(path, json=body, **options)

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def served(self, name: str) -> Any:
        return self.server.registry.get(name)


@contextmanager
def running(
    folders: Mapping[str, Path], settings: ServerSettings | None = None, **parts: Any
) -> Iterator[RunningServer]:
    """A server in a thread; it drains at the end."""
    settings = settings or ServerSettings(load={"num_threads": 1}, reload_interval_s=0, drain_timeout_s=10)
    server = Server(folders, settings, **parts)
    server.registry.load_all()
    listener = open_socket("127.0.0.1", 0)
    is_ready = threading.Event()
    http = http_server(server, is_ready.set)
    thread = threading.Thread(target=http.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    assert is_ready.wait(30)
    running_server = RunningServer(server, listener.getsockname()[1])
    try:
        yield running_server
    finally:
        running_server.client.close()
        http.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server does not stop"


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``headway serve`` as a process on a free port, and its address."""
    command = [sys.executable, "-m", "headway.runtime.cli", "serve", "--port", "0", "--threads", "1", *arguments]
    code = "import sys; from headway.runtime.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *command[3:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield started, _address(started)
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate()


def _address(started: subprocess.Popen[str]) -> str:
    """Where the process says it serves."""
    assert started.stderr is not None
    end = time.monotonic() + 60
    lines = []
    while time.monotonic() < end:
        line = started.stderr.readline()
        if not line and started.poll() is not None:
            break
        lines.append(line)
        if " on http://" in line:
            return line.split(" on ")[1].strip()
    raise AssertionError(f"the server did not start: {''.join(lines)}")


def write_chat_model(folder: Path) -> Path:
    """A tiny decoder with a chat template and a byte-level tokenizer."""
    tokenizer = build("Qwen2Tokenizer")
    tokenizer.chat_template = CHAT_TEMPLATE
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_LENGTH,
        initializer_range=0.5,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    export(model, folder, task="text-generation", tokenizer=tokenizer, progress=False)
    return folder


def write_heads(folder: Path) -> dict[str, Path]:
    """Name → artifact of hand-made graphs: they load in a moment."""
    return {
        "classifier": write_artifact(folder / "classifier"),
        "judge": write_artifact(
            folder / "judge", classifier_model(word_vectors(1)), labels=("relevant",), dtypes=("fp32",)
        ),
        "tagger": write_artifact(
            folder / "tagger", tagger_model(), "token-classification", "BertForTokenClassification"
        ),
        "embedder": write_artifact(folder / "embedder", backbone_model(), "feature-extraction", "BertModel"),
    }


def backbone_model(dim: int = 8) -> Any:
    """last_hidden_state = vectors[input_ids] · attention_mask."""
    tagger = tagger_model(dim)
    nodes = list(tagger.graph.node)
    nodes[-1].output[0] = "last_hidden_state"
    axes = ("batch_size", "sequence_length", dim)
    return model_proto(nodes, list(tagger.graph.initializer), {"last_hidden_state": axes})


def events(response: httpx.Response) -> list[Any]:
    """The JSON of each server-sent event, and "[DONE]" as it is."""
    lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def limited(**settings: Any) -> ServerSettings:
    """Settings of a server that stays as it is."""
    defaults = {"load": {"num_threads": 1}, "reload_interval_s": 0, "drain_timeout_s": 10}
    return ServerSettings(**{**defaults, **settings})


def eventually(condition: Callable[[], Any], timeout_s: float = 60) -> None:
    """Wait until something is so."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.005)
