"""OpenAI's own client against the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openai
import pytest
from serving import RunningServer, running

from headway.runtime import AutoModelForCausalLM, AutoTokenizer, pipeline

MESSAGES = [{"role": "user", "content": "Hello world! How are you doing?"}]


@pytest.fixture
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def alone(chat_folder):
    """generate() on the same artifact, one prompt at a time."""
    model = AutoModelForCausalLM.from_pretrained(chat_folder, num_threads=1)
    tokenizer = AutoTokenizer.from_pretrained(chat_folder)

    def answer(messages, **options):
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="np", return_dict=True
        )
        output = model.generate(**inputs, **options)
        return tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    return answer


def test_models(client: openai.OpenAI) -> None:
    assert "chat" in [model.id for model in client.models.list()]
    assert client.models.retrieve("embedder").id == "embedder"
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("nobody")
    assert refused.value.code == "model_not_found"


def test_a_name_as_the_hub_has_them(head_folders: dict[str, Path]) -> None:
    name = "org/embedder-v1.0"
    with (
        running({name: head_folders["embedder"]}) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
    ):
        assert client.models.retrieve(name).id == name
        assert client.embeddings.create(model=name, input="good film").model == name
        with pytest.raises(openai.NotFoundError, match="no model 'org/other'"):
            client.models.retrieve("org/other")


def test_greedy_chat_is_what_generate_gives(client: openai.OpenAI, alone) -> None:
    answer = client.chat.completions.create(model="chat", messages=MESSAGES, temperature=0, max_completion_tokens=24)
    assert answer.choices[0].message.content == alone(MESSAGES, do_sample=False, max_new_tokens=24)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 24
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 24


def test_seeded_chat_is_what_generate_gives(client: openai.OpenAI, alone) -> None:
    options = {"temperature": 0.8, "top_p": 0.9, "seed": 7}
    answer = client.chat.completions.create(model="chat", messages=MESSAGES, max_tokens=16, **options)
    expected = alone(MESSAGES, do_sample=True, max_new_tokens=16, top_k=0, **options)
    assert answer.choices[0].message.content == expected


def test_streamed_chat_is_the_whole_one(client: openai.OpenAI) -> None:
    options = {"model": "chat", "messages": MESSAGES, "temperature": 0, "max_tokens": 24}
    whole = client.chat.completions.create(**options)
    chunks = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "length"
    assert not chunks[-1].choices
    assert chunks[-1].usage.completion_tokens == 24
    assert len({chunk.id for chunk in chunks}) == 1


def test_several_choices_differ_and_repeat(client: openai.OpenAI) -> None:
    def ask():
        answer = client.chat.completions.create(
            model="chat", messages=MESSAGES, n=3, seed=3, temperature=1.5, max_tokens=12
        )
        return [choice.message.content for choice in answer.choices]

    first = ask()
    assert len(set(first)) == 3
    assert ask() == first


def test_a_stop_text_ends_the_answer_and_is_left_out(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="chat", messages=MESSAGES, temperature=0, max_tokens=24)
    text = whole.choices[0].message.content
    stop = text[8:11]
    answer = client.chat.completions.create(
        model="chat", messages=MESSAGES, temperature=0, max_tokens=24, stop=["never there", stop]
    )
    assert answer.choices[0].message.content == text[: text.index(stop)]
    assert answer.choices[0].finish_reason == "stop"


def test_probabilities_are_those_of_the_model(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="chat", messages=MESSAGES, temperature=0, max_tokens=4, logprobs=True, top_logprobs=5
    )
    content = answer.choices[0].logprobs.content
    assert len(content) == 4
    for token in content:
        # Greedy: the chosen token is the likeliest one.
        assert token.top_logprobs[0].token == token.token
        assert token.logprob == token.top_logprobs[0].logprob < 0
        values = [top.logprob for top in token.top_logprobs]
        assert values == sorted(values, reverse=True)
        assert sum(np.exp(values)) <= 1 + 1e-6
    everything = b"".join(bytes(token.bytes) for token in content)
    assert everything.decode(errors="replace") == answer.choices[0].message.content


def test_a_banned_token_is_not_written_and_a_favoured_one_is(client: openai.OpenAI, server: RunningServer) -> None:
    tokenizer = server.served("chat").tokenizer
    favoured = tokenizer("fox")["input_ids"][0]
    options = {"model": "chat", "messages": MESSAGES, "temperature": 0, "max_tokens": 3}
    answer = client.chat.completions.create(**options, logit_bias={str(favoured): 100})
    assert answer.choices[0].message.content == tokenizer.decode([favoured]) * 3


def test_a_frequent_token_is_penalised(client: openai.OpenAI, server: RunningServer) -> None:
    favoured = server.served("chat").tokenizer("fox")["input_ids"][0]
    options = {"model": "chat", "messages": MESSAGES, "temperature": 0, "max_tokens": 40}
    options["logit_bias"] = {str(favoured): 20}
    text = client.chat.completions.create(**options).choices[0].message.content
    less = client.chat.completions.create(**options, frequency_penalty=2).choices[0].message.content
    piece = server.served("chat").tokenizer.decode([favoured])
    assert less.count(piece) < text.count(piece)


def test_tools_reach_the_template(client: openai.OpenAI) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    options = {"model": "chat", "messages": MESSAGES, "temperature": 0, "max_tokens": 1}
    plain = client.chat.completions.create(**options).usage.prompt_tokens
    assert client.chat.completions.create(**options, tools=[tool]).usage.prompt_tokens > plain
    assert client.chat.completions.create(**options, tools=[tool], tool_choice="none").usage.prompt_tokens == plain


def test_parts_of_a_message_are_joined(client: openai.OpenAI) -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]}]
    whole = [{"role": "user", "content": "Hello\nthere"}]
    answers = [
        client.chat.completions.create(model="chat", messages=messages, temperature=0, max_tokens=8)
        for messages in (parts, whole)
    ]
    assert answers[0].choices[0].message.content == answers[1].choices[0].message.content


def test_a_repeated_prompt_is_not_run_again(client: openai.OpenAI) -> None:
    messages = [{"role": "user", "content": "tokenization internationalization " * 4}]
    options = {"model": "chat", "messages": messages, "temperature": 0, "max_tokens": 8}
    first = client.chat.completions.create(**options)
    second = client.chat.completions.create(**options)
    assert second.usage.prompt_tokens_details.cached_tokens >= first.usage.prompt_tokens - 1
    assert second.choices[0].message.content == first.choices[0].message.content


def test_a_prompt_of_several_choices_is_cached_once(client: openai.OpenAI) -> None:
    prompt = "internationalization tokenization " * 6
    options = {"model": "chat", "prompt": [prompt, prompt], "max_tokens": 2, "n": 3}
    client.completions.create(**options)
    usages = [client.completions.create(**options).usage]
    usages += [
        chunk.usage
        for chunk in client.completions.create(**options, stream=True, stream_options={"include_usage": True})
        if chunk.usage
    ]
    assert len(usages) == 2
    for usage in usages:
        assert 0 < usage.prompt_tokens_details.cached_tokens < usage.prompt_tokens


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("functions", [{"name": "f"}]),
        ("audio", {"voice": "x"}),
        ("prediction", {"type": "content"}),
        ("store", True),
        ("tool_choice", "required"),
        ("temperature", 3),
        ("top_p", -1),
        ("n", 0),
        ("logit_bias", {"word": 1}),
        ("logit_bias", {"999999": 1}),
        ("top_logprobs", 2),
        ("max_tokens", 0),
        ("stop", [""]),
        ("no_such_field", 1),
        ("messages", []),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
        ("chat_template_kwargs", {"tokenize": False}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_not_possible_is_refused_by_name(server: RunningServer, field: str, value: object) -> None:
    body = {"model": "chat", "messages": MESSAGES, "max_tokens": 2, field: value}
    response = server.post("/v1/chat/completions", body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert field in f"{error['param']} {error['message']}"
    assert error["type"] == "invalid_request_error"


def test_a_prompt_over_the_context_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "fox jumps " * 600}])
    assert refused.value.code == "context_length_exceeded"


def test_completions(client: openai.OpenAI, server: RunningServer) -> None:
    options = {"model": "chat", "temperature": 0, "max_tokens": 6}
    prompts = ["The quick brown", "Hello world"]
    both = client.completions.create(prompt=prompts, **options)
    single = [client.completions.create(prompt=prompt, **options).choices[0].text for prompt in prompts]
    assert [choice.text for choice in both.choices] == single
    ids = server.served("chat").tokenizer(prompts[0])["input_ids"]
    assert client.completions.create(prompt=ids, **options).choices[0].text == single[0]
    echoed = client.completions.create(prompt=prompts[0], echo=True, **options)
    assert echoed.choices[0].text == prompts[0] + single[0]
    chunks = list(client.completions.create(prompt=prompts[0], stream=True, **options))
    assert "".join(chunk.choices[0].text for chunk in chunks) == single[0]


def test_probabilities_of_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="chat", prompt="The fox", temperature=0, max_tokens=5, logprobs=3)
    found = answer.choices[0].logprobs
    assert len(found.tokens) == len(found.token_logprobs) == len(found.text_offset) == len(found.top_logprobs) == 5
    assert all(
        len(top) <= 3 and max(top.values()) == own
        for top, own in zip(found.top_logprobs, found.token_logprobs, strict=True)
    )


def test_embeddings(client: openai.OpenAI, head_folders) -> None:
    texts = ["good film", "bad", "the film is not very good ."]
    # The client asks for base64 by itself.
    answer = client.embeddings.create(model="embedder", input=texts)
    expected = pipeline("embed", model=head_folders["embedder"])(texts, normalize_embeddings=True)
    np.testing.assert_allclose([item.embedding for item in answer.data], expected, atol=1e-6)
    assert answer.usage.prompt_tokens == 4 + 3 + 9
    plain = client.embeddings.create(model="embedder", input="good film", encoding_format="float")
    np.testing.assert_allclose(plain.data[0].embedding, expected[0], atol=1e-6)
    ids = [2, 5, 7, 3]  # [CLS] good film [SEP]
    by_ids = client.embeddings.create(model="embedder", input=[ids, ids[:2]])
    np.testing.assert_allclose(by_ids.data[0].embedding, expected[0], atol=1e-6)
    assert by_ids.usage.prompt_tokens == 6
    short = client.embeddings.create(model="embedder", input="good film", dimensions=4)
    assert len(short.data[0].embedding) == 4
    assert np.linalg.norm(short.data[0].embedding) == pytest.approx(1, abs=1e-6)


def test_embeddings_that_cannot_be(server: RunningServer) -> None:
    for body, status in (
        ({"model": "embedder", "input": []}, 400),
        ({"model": "embedder", "input": "good " * 50}, 400),
        ({"model": "chat", "input": "x"}, 400),
        ({"model": "nobody", "input": "x"}, 404),
        ({"model": "embedder", "input": ["a", 3]}, 400),
        ({"model": "embedder", "input": [[]]}, 400),
        ({"model": "embedder", "input": [99]}, 400),
        ({"model": "embedder", "input": "good", "dimensions": 9}, 400),
        ({"model": "embedder", "input": [10**30]}, 400),
        ({"model": "embedder", "input": [[5, 2**63]]}, 400),
        ({"model": "embedder", "input": [5] * 50}, 400),
        ({"model": "embedder"}, 400),
    ):
        response = server.post("/v1/embeddings", body)
        assert response.status_code == status, body
        assert response.json()["error"]["message"]
