"""In every precision that stores weights in fewer bits, an answer does not depend on who else is asking."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from serving import CHAT_TEMPLATE, RunningServer, running
from tiny_tokenizers import build

from headway.export import export
from headway.runtime import pipeline
from headway.runtime.server.settings import ServerSettings

DTYPES = ("fp32", "q8", "q4")
LOOSE = {"min_cosine": 0.5, "min_top_1": 0.0, "max_perplexity_increase": 100.0}
SENTENCE = "the quick brown fox jumps over a lazy dog and runs away from it all day long"
TEXTS = [" ".join(SENTENCE.split()[start : start + 1 + start % 7] * (1 + start % 3)) for start in range(14)]
SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
NUM_TOKENS = 12
# Products of q8 and q4 round a row's activations to 8 bits: what differs by 1e-7 may fall on either side.
LOGPROB_TOLERANCES = {"fp32": 1e-4, "q8": 0.1, "q4": 0.1}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A backbone and a decoder, each in every precision."""
    made = tmp_path_factory.mktemp("precisions")
    torch.manual_seed(0)
    words = build("BertTokenizer")
    backbone = transformers.BertModel(transformers.BertConfig(vocab_size=len(words), **SIZES)).eval()
    pieces = build("Qwen2Tokenizer")
    pieces.chat_template = CHAT_TEMPLATE
    ends = dict.fromkeys(("eos_token_id", "bos_token_id", "pad_token_id"), pieces.eos_token_id)
    config = transformers.LlamaConfig(vocab_size=len(pieces), initializer_range=0.5, **SIZES, **ends)
    decoder = transformers.LlamaForCausalLM(config).eval()
    for name, model, tokenizer in (("backbone", backbone, words), ("chat", decoder, pieces)):
        task = "text-generation" if name == "chat" else "feature-extraction"
        export(
            model,
            made / name,
            task=task,
            tokenizer=tokenizer,
            dtype=list(DTYPES),
            accuracy_limits=LOOSE,
            progress=False,
        )
    return {"backbone": made / "backbone", "chat": made / "chat"}


@pytest.fixture(scope="module", params=DTYPES)
def server(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Iterator[RunningServer]:
    settings = ServerSettings(load={"num_threads": 1, "dtype": request.param}, reload_interval_s=0)
    with running(folders, settings) as server:
        server.dtype = request.param
        yield server


def at_once(server: RunningServer, path: str, bodies: list[dict[str, Any]]) -> list[Any]:
    with ThreadPoolExecutor(len(bodies)) as pool:
        return [answer.json() for answer in pool.map(lambda body: server.post(path, body), bodies)]


def test_embeddings(server: RunningServer, folders: dict[str, Path]) -> None:
    embed = pipeline("embed", model=folders["backbone"], dtype=server.dtype, num_threads=1)
    alone = [embed([text], normalize_embeddings=True)[0] for text in TEXTS]
    for _ in range(3):
        together = at_once(server, "/embed", [{"inputs": text} for text in TEXTS])
        np.testing.assert_allclose([rows[0] for rows in together], alone, atol=2e-6)
    one_request = server.post("/embed", {"inputs": TEXTS}).json()
    np.testing.assert_allclose(one_request, alone, atol=2e-6)


def test_chats(server: RunningServer) -> None:
    options = {"model": "chat", "temperature": 0, "max_tokens": NUM_TOKENS, "logprobs": True}
    bodies = [{**options, "messages": [{"role": "user", "content": text}]} for text in TEXTS]
    path = "/v1/chat/completions"
    alone = [server.post(path, body).json()["choices"][0] for body in bodies]
    together = [answer["choices"][0] for answer in at_once(server, path, bodies)]
    assert [choice["message"] for choice in together] == [choice["message"] for choice in alone]
    for one, other in zip(together, alone, strict=True):
        found, expected = ([token["logprob"] for token in each["logprobs"]["content"]] for each in (one, other))
        np.testing.assert_allclose(found, expected, atol=LOGPROB_TOLERANCES[server.dtype])
