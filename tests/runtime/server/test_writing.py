"""Encoder-decoders over HTTP: the hub's client gets what the pipeline writes, and nobody waits for who has left."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import InferenceClient
from seq2seq_parity import tiny_seq2seq
from serving import RunningServer, running
from tiny_tokenizers import build

from headway.export import export
from headway.runtime import pipeline

TEXT = "hello world"
PATH = "/v1/pipelines/summarization"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("writing") / "t5"
    export(tiny_seq2seq("t5"), made, tokenizer=build("T5Tokenizer"), progress=False)
    return made


@pytest.fixture(scope="module")
def writer(folder: Path) -> Iterator[RunningServer]:
    with running({"t5": folder}) as server:
        yield server


@pytest.mark.usefixtures("online")
def test_the_hub_s_client_summarizes_and_translates(writer: RunningServer, folder: Path) -> None:
    options: dict[str, Any] = {"max_new_tokens": 6, "num_beams": 2}
    for task, key in (("summarization", "summary_text"), ("translation", "translation_text")):
        client = InferenceClient(model=f"{writer.url}/v1/pipelines/{task}", token="none")
        found = getattr(client, task)(TEXT, generate_parameters=options)
        (expected,) = pipeline(task, model=folder, num_threads=1)([TEXT], **options)
        assert getattr(found, key) == expected[key]


def test_several_texts(writer: RunningServer, folder: Path) -> None:
    texts = [TEXT, "a", "good morning"]
    found = writer.post(PATH, {"inputs": texts, "parameters": {"max_new_tokens": 5}}).json()
    expected = pipeline("summarization", model=folder, num_threads=1)(texts, max_new_tokens=5)
    assert [answer["summary_text"] for (answer,) in found] == [answer["summary_text"] for answer in expected]


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_new_tokens": 5000},
        {"num_beams": 10**30},
        {"num_return_sequences": 1e9},
        {"length_penalty": 1e308, "num_beams": 2},
        {"forced_eos_token_id": {}},
        {"pad_token_id": 10**30},
        {"eos_token_id": -(10**30)},
        {"decoder_start_token_id": 10**30},
        {"generation_config": "x"},
        {"generate_kwargs": {"stopping_criteria": []}},
        {"generate_kwargs": 5},
        {"generate_parameters": [1]},
        {"generate_kwargs": {"allow_urls": True}},
    ],
    ids=lambda parameters: str(parameters)[:40],
)
def test_options_that_cannot_be(writer: RunningServer, parameters: dict[str, Any]) -> None:
    refused = writer.post(PATH, {"inputs": TEXT, "parameters": {"max_new_tokens": 3, **parameters}})
    assert refused.status_code == 400, refused.text
    assert refused.json()["error"]["message"]
    assert writer.served("t5").levels.num_deaths == 0


def test_who_leaves_frees_the_thread(writer: RunningServer) -> None:
    """Texts are written alone, so the next client would wait for thousands of tokens that nobody reads."""
    long = {"max_new_tokens": 4096, "min_new_tokens": 4096, "num_beams": 4}
    started = time.monotonic()
    content = json.dumps({"inputs": TEXT, "parameters": long})
    batcher = writer.served("t5").batcher
    with socket.create_connection(("127.0.0.1", writer.port), timeout=5) as client:
        client.sendall(f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n\r\n{content}".encode())
        while not batcher.num_running:
            assert time.monotonic() - started < 10
            time.sleep(0.005)
    left = time.process_time()
    assert writer.post(PATH, {"inputs": TEXT, "parameters": {"max_new_tokens": 3}}).status_code == 200
    # Processor time of this process, which runs the model too: thousands of steps take tens of seconds of it.
    assert time.process_time() - left < 2
