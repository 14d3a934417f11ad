"""SmolLM2 and MiniLM behind one server, asked by several clients at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openai
import pytest
from serving import RunningServer, running

from headway.runtime import AutoModelForCausalLM, AutoTokenizer, pipeline

QUESTIONS = (
    "What is the capital of France?",
    "Name three colours.",
    "Write one sentence about the sea.",
    "What is two plus two?",
    "Who wrote Hamlet?",
    "Say hello in Spanish.",
)
NUM_TOKENS = 16
SYSTEM = {"role": "system", "content": "You are a helpful assistant who answers in one short sentence."}


@pytest.fixture(scope="module")
def real(smollm2_artifact: Path, minilm_artifact: Path) -> Iterator[RunningServer]:
    with running({"smollm2": smollm2_artifact, "minilm": minilm_artifact}) as server:
        yield server


@pytest.fixture
def client(real: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{real.url}/v1", api_key="none", max_retries=0, timeout=600) as client:
        yield client


def test_chats_at_once_are_what_generate_gives(client: openai.OpenAI, smollm2_artifact: Path) -> None:
    def ask(question: str) -> str:
        messages = [SYSTEM, {"role": "user", "content": question}]
        options = {"temperature": 0, "max_tokens": NUM_TOKENS}
        return client.chat.completions.create(model="smollm2", messages=messages, **options).choices[0].message.content

    with ThreadPoolExecutor(len(QUESTIONS)) as pool:
        answers = list(pool.map(ask, QUESTIONS))
    model = AutoModelForCausalLM.from_pretrained(smollm2_artifact, num_threads=1)
    tokenizer = AutoTokenizer.from_pretrained(smollm2_artifact)
    for question, answer in zip(QUESTIONS, answers, strict=True):
        inputs = tokenizer.apply_chat_template(
            [SYSTEM, {"role": "user", "content": question}],
            add_generation_prompt=True,
            return_tensors="np",
            return_dict=True,
        )
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=NUM_TOKENS)
        assert answer == tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def test_an_answer_by_a_schema(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "is_capital": {"type": "boolean"}},
        "required": ["city", "is_capital"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        temperature=0,
        max_tokens=40,
        response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": schema}},
    )
    found = json.loads(answer.choices[0].message.content)
    assert isinstance(found["city"], str)
    assert isinstance(found["is_capital"], bool)


def test_embeddings_at_once_are_what_the_pipeline_gives(client: openai.OpenAI, minilm_artifact: Path) -> None:
    texts = [" ".join(["the stock market fell sharply today"] * count) for count in range(1, 25)]

    def embed(text: str) -> list[float]:
        return client.embeddings.create(model="minilm", input=text).data[0].embedding

    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(embed, texts))
    alone = pipeline("embed", model=minilm_artifact, num_threads=1)
    expected = [alone([text], normalize_embeddings=True)[0] for text in texts]
    np.testing.assert_allclose(together, expected, atol=1e-6)
