"""Folders that other exporters wrote, served as they are: every layout answers, at once, streamed and sampled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from foreign_folders import END_ID, MAX_POSITIONS, VOCAB_SIZE, greedy
from foreign_layouts import DECODERS
from serving import RunningServer, backbone_model, events, process, running
from tiny_graphs import tiny_tokenizer, word_vectors
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from headway.runtime.artifact import Artifact
from headway.runtime.commands.inspection import inspect_artifact
from headway.runtime.generation.decoder import Decoder
from headway.runtime.server.engine.growing_slots import SeparateSlots, StackedSlots
from headway.runtime.server.engine.slots import SharedSlots

PROMPTS = [[4, 9, 5, 17, 3], [8, 6], [4, 9, 5, 17, 3, 20, 11], [12], [7, 7, 16]]
NUM_TOKENS = 6


def _with_tokenizer(folder: Path) -> Path:
    """The folder with a tokenizer that writes a token as w7."""
    vocabulary = {f"w{token}": token for token in range(VOCAB_SIZE)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.Sequence([])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": f"w{END_ID}", "pad_token": "w0"}))
    return folder


def _sentence_transformers(folder: Path) -> Path:
    """What sentence-transformers' backend="onnx" writes: the graph and its variants beside the checkpoint's files."""
    (folder / "onnx").mkdir(parents=True)
    for name in ("model", "model_O3", "model_qint8_avx512"):
        onnx.save(backbone_model(), folder / "onnx" / f"{name}.onnx")
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"architectures": ["BertModel"], "model_type": "bert"}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]"}))
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 8, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("foreign")
    written = {name: _with_tokenizer(write(base / name)) for name, (write, _, _) in DECODERS.items()}
    return {**written, "sentence-transformers": _sentence_transformers(base / "sentence-transformers")}


@pytest.fixture(scope="module")
def server(folders: dict[str, Path]) -> Iterator[RunningServer]:
    with running(folders) as server:
        assert not server.server.registry.failures
        yield server


def _expected(name: str, prompt: list[int]) -> str:
    """What follows a prompt by the layout's formula, up to the token that ends a text."""
    tokens = greedy(DECODERS[name][1], prompt, NUM_TOKENS)
    tokens = tokens[: tokens.index(END_ID)] if END_ID in tokens else tokens
    return "".join(f"w{token}" for token in tokens)


def _body(name: str, prompt: list[int], **options: Any) -> dict[str, Any]:
    return {"model": name, "prompt": prompt, "max_tokens": NUM_TOKENS, "temperature": 0, **options}


@pytest.mark.parametrize("name", DECODERS)
def test_texts_at_once_are_what_each_is_alone(name: str, server: RunningServer) -> None:
    def ask(prompt: list[int]) -> str:
        return server.post("/v1/completions", _body(name, prompt)).json()["choices"][0]["text"]

    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        together = list(pool.map(ask, PROMPTS))
    assert together == [_expected(name, prompt) for prompt in PROMPTS]


@pytest.mark.parametrize("name", DECODERS)
def test_streamed_and_sampled(name: str, server: RunningServer) -> None:
    with server.client.stream("POST", "/v1/completions", json=_body(name, PROMPTS[0], stream=True)) as response:
        found = events(response)
    assert found[-1] == "[DONE]"
    assert "".join(event["choices"][0]["text"] for event in found[:-1]) == _expected(name, PROMPTS[0])
    body = _body(name, PROMPTS[3], temperature=2, seed=5, n=4)
    first, again = (server.post("/v1/completions", body).json()["choices"] for _ in range(2))
    assert first == again
    assert len({choice["text"] for choice in first}) > 1


def _takes_no_mask(name: str) -> bool:
    return name in ("transformers", "transformers-chunks")


@pytest.mark.parametrize("name", DECODERS)
def test_inspect_says_how_texts_are_batched(name: str, server: RunningServer, folders: dict[str, Path]) -> None:
    """Continuous batching where a graph has a length for each row, and so it is in the server."""
    facts = inspect_artifact(Artifact(folders[name]))
    variants = facts["variants"]
    assert facts["max_length"] == server.served(name).model.max_length
    batchings = {graph["batching"] for variant in variants.values() for graph in variant["graphs"].values()} - {None}
    is_shared = DECODERS[name][2] is Decoder
    wanted = "a length for each row: continuous batching" if is_shared else "one past for all rows: static batches"
    # The graph of a trio that runs first tokens has no past, and neither has one that begins anew at each step.
    without_past = "no past, all tokens again at each step: static batches"
    assert batchings == ({without_past} if "without-cache" in name else {wanted} | (batchings & {without_past}))
    slots = SharedSlots if is_shared else SeparateSlots if _takes_no_mask(name) else StackedSlots
    assert type(server.served(name).engine._slots) is slots


def test_the_command_serves_them(folders: dict[str, Path]) -> None:
    """In a process for each model, which is what ``headway serve DIR`` starts."""
    names = ("optimum-merged", "genai")
    with process(*(str(folders[name]) for name in names)) as (_, url), httpx.Client(base_url=url, timeout=60) as client:
        for name in names:
            answer = client.post("/v1/completions", json=_body(name, PROMPTS[0])).json()
            assert answer["choices"][0]["text"] == _expected(name, PROMPTS[0])


def test_a_text_that_is_too_long(server: RunningServer) -> None:
    response = server.post("/v1/completions", _body("genai", [5] * (MAX_POSITIONS + 1)))
    assert response.status_code == 400
    assert str(MAX_POSITIONS) in response.json()["error"]["message"]


def test_sentence_vectors(server: RunningServer) -> None:
    vectors = np.array(server.post("/embed", {"inputs": ["good film", "bad"]}).json())
    tokenizer = tiny_tokenizer()
    for vector, text in zip(vectors, ["good film", "bad"], strict=True):
        pooled = word_vectors(8)[tokenizer.encode(text).ids].mean(axis=0)
        np.testing.assert_allclose(vector, pooled / np.linalg.norm(pooled), atol=1e-5)
    answer = server.post("/v1/embeddings", {"model": "sentence-transformers", "input": "bad"}).json()
    np.testing.assert_allclose(answer["data"][0]["embedding"], vectors[1], atol=1e-6)
