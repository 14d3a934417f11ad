"""Answers that follow a grammar: from generate() and from the server, whatever the model would rather write."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import openai
import pytest
from serving import RunningServer, events

from headway.runtime import AutoModelForCausalLM, AutoTokenizer, Grammar
from headway.runtime.errors import InputTypeError, OptionError

SCHEMA = {
    "type": "object",
    "properties": {"name": {"enum": ["Ann", "Bob"]}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
MESSAGES = [{"role": "user", "content": "Hello world!"}]


@pytest.fixture(scope="module")
def model(chat_folder: Path):
    return AutoModelForCausalLM.from_pretrained(chat_folder, num_threads=1)


@pytest.fixture(scope="module")
def tokenizer(chat_folder: Path):
    return AutoTokenizer.from_pretrained(chat_folder)


def texts(model, tokenizer, prompts, grammar, **options):
    inputs = tokenizer(prompts, padding=True, padding_side="left", return_tensors="np")
    options = {"max_new_tokens": 60, "do_sample": False, **options}
    output = model.generate(**inputs, tokenizer=tokenizer, grammar=grammar, **options)
    return tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("options", [{}, {"do_sample": True, "seed": 1, "temperature": 1.5}, {"num_beams": 3}], ids=str)
def test_every_row_follows_the_schema(model, tokenizer, options) -> None:
    for text in texts(model, tokenizer, ["Hello", "The quick brown fox", "a"], SCHEMA, **options):
        found = json.loads(text)
        assert found.keys() == {"name", "age"}
        assert found["name"] in ("Ann", "Bob")
        assert 0 <= found["age"] <= 99


def test_regex_and_lark(model, tokenizer) -> None:
    (text,) = texts(model, tokenizer, ["Hello"], Grammar.regex(r"[A-C]{3}-\d{2}"))
    assert re.fullmatch(r"[A-C]{3}-\d{2}", text)
    lark = 'start: ("tick" | "tock") " " /[0-9]{3}/'
    (text,) = texts(model, tokenizer, ["Hello"], Grammar.lark(lark))
    assert re.fullmatch(r"(tick|tock) \d{3}", text)


def test_a_grammar_changes_nothing_where_it_allows_everything(model, tokenizer) -> None:
    inputs = np.array([tokenizer("Hello")["input_ids"]])
    free = model.generate(inputs, max_new_tokens=10, do_sample=False, suppress_tokens=[0])
    bound = model.generate(
        inputs,
        max_new_tokens=10,
        do_sample=False,
        suppress_tokens=[0],
        tokenizer=tokenizer,
        grammar=Grammar.regex(r"(?s:.*)"),
    )
    text = tokenizer.decode(free[0])
    # Bytes that are no character are not text, so only a text of whole characters compares.
    if "\ufffd" not in text:
        np.testing.assert_array_equal(free, bound)


@pytest.mark.parametrize(
    "grammar", [Grammar.regex("((("), Grammar.json_schema({"type": "nonsense"}), Grammar.lark("x")]
)
def test_what_is_no_grammar_is_refused(model, tokenizer, grammar) -> None:
    with pytest.raises(OptionError, match="cannot be used"):
        texts(model, tokenizer, ["Hello"], grammar)


def test_what_is_needed(model, tokenizer) -> None:
    with pytest.raises(InputTypeError, match="pass a Grammar"):
        texts(model, tokenizer, ["Hello"], 7)
    with pytest.raises(OptionError, match="tokenizer"):
        model.generate(np.array([[5]]), grammar=SCHEMA)


def test_response_formats(server: RunningServer) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:

        def ask(response_format, **options):
            answer = client.chat.completions.create(
                model="chat", messages=MESSAGES, max_tokens=80, response_format=response_format, **options
            )
            return answer.choices[0]

        schema = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
        for options in ({"temperature": 0}, {"temperature": 2, "seed": 5}):
            choice = ask(schema, **options)
            assert json.loads(choice.message.content)["name"] in ("Ann", "Bob")
            assert choice.finish_reason == "stop"
        several = client.chat.completions.create(
            model="chat", messages=MESSAGES, max_tokens=80, n=3, temperature=2, response_format=schema
        )
        assert all(json.loads(choice.message.content)["age"] <= 99 for choice in several.choices)
        begun = ask({"type": "json_object"}, temperature=0)
        assert begun.message.content.startswith("{")
        assert re.fullmatch(r"[xy]{5}", ask({"type": "regex", "regex": "[xy]{5}"}).message.content)
        grammar = {"type": "grammar", "grammar": 'start: "yes" | "no"'}
        assert ask(grammar).message.content in ("yes", "no")
        assert ask({"type": "text"}, temperature=0).message.content


@pytest.mark.parametrize(
    "response_format",
    [
        {"type": "json_schema"},
        {"type": "regex"},
        {"type": "regex", "regex": "((("},
        {"type": "json_schema", "json_schema": {"schema": {"type": "nonsense"}}},
        {"type": "nonsense"},
        {"type": "json_schema", "json_schema": {"schema": {"$ref": "#"}}},
        {"type": "grammar", "grammar": "start: start start"},
    ],
    ids=range(7),
)
def test_response_formats_that_cannot_be(server: RunningServer, response_format) -> None:
    body = {"model": "chat", "messages": MESSAGES, "response_format": response_format}
    assert server.post("/v1/chat/completions", body).status_code == 400


@pytest.mark.parametrize(
    ("kind", "source"),
    [("regex", "(a{1000}){1000}"), ("grammar", 'start: "a"~1000000'), ("grammar", "start: /(a{1000}){1000}/")],
    ids=["regex", "many items", "terminal"],
)
def test_a_grammar_that_becomes_too_large_is_never_broken(server: RunningServer, kind: str, source: str) -> None:
    """llguidance gives up on the way: the request ends with an error, and no token that the grammar forbids comes."""
    body = {"model": "chat", "messages": MESSAGES, "max_tokens": 6, "response_format": {"type": kind, kind: source}}
    answer = server.post("/v1/chat/completions", body)
    assert answer.status_code == 400
    assert "cannot be used: " in answer.json()["error"]["message"]
    with server.client.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as streamed:
        found = events(streamed) if streamed.status_code == 200 else []
    texts = [chunk["choices"][0]["delta"].get("content") or "" for chunk in found if "choices" in chunk]
    assert set("".join(texts)) <= {"a"}
