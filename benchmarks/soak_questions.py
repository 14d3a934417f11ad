"""Requests for a storm: for each model what it does, what clients do wrong, and clients that leave."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx

_WORDS = ("good", "bad", "film", "the", "a", "is", "not", "very", "was", "day", "night", "long", "light", "water")
_NUM_TEXTS = 12
_MAX_WORDS = 8
_MAX_NEW_TOKENS = 12
_TOLERANCE = 2e-4
_CHANGING = ("id", "created", "usage", "system_fingerprint")

Answer = tuple[int | str, Any]


@dataclass(frozen=True)
class Question:
    """One request.

    Args:
        name: what it is, for reports.
        path: where it goes.
        content: the body's bytes.
        statuses: what it may be answered with.
        is_repeatable: the answer is the same every time.
        leaves_after: events of a stream after which the client leaves; None stays.
    """

    name: str
    path: str
    content: bytes
    statuses: tuple[int | str, ...] = (200,)
    is_repeatable: bool = True
    leaves_after: int | None = None

    def expects(self, status: int | str) -> bool:
        """Whether an outcome is one that this request may have."""
        return status in self.statuses


def questions_of(models: Sequence[Mapping[str, Any]]) -> list[Question]:
    """Requests for the models that ``/v1/models`` lists."""
    random = Random(0)
    texts = [" ".join(random.choices(_WORDS, k=random.randint(1, _MAX_WORDS))) for _ in range(_NUM_TEXTS)]
    found = _broken(models[0]["id"])
    for model in models:
        for task in model["tasks"]:
            for number, text in enumerate(texts):
                found += [
                    Question(f"{task} {number} {path}", path, _json({"model": model["id"], **body}))
                    for path, body in _asked(task, text, texts)
                ]
        if "text-generation" in model["tasks"]:
            found += _streams(model["id"], texts)
            over = {"model": model["id"], "prompt": "a " * 200_000, "max_tokens": 1}
            found.append(Question("over the context", "/v1/completions", _json(over), (400,)))
    return found


def ask(client: httpx.Client, question: Question) -> Answer:
    """Send a request; its status and answer, ``left`` where this client leaves."""
    headers = {"Content-Type": "application/json"}
    if question.leaves_after is None:
        response = client.post(question.path, content=question.content, headers=headers)
        return response.status_code, response.json() if response.content else None
    with client.stream("POST", question.path, content=question.content, headers=headers) as streamed:
        if streamed.status_code != 200:
            return streamed.status_code, None
        for number, _ in enumerate(streamed.iter_lines()):
            if number >= question.leaves_after:
                break
    return "left", None


def same_answer(one: Answer, other: Answer) -> bool:
    """Whether two answers say the same, numbers within what float32 leaves open."""
    return one[0] == other[0] and _same(one[1], other[1])


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    if isinstance(one, dict) and isinstance(other, dict):
        names = (one.keys() | other.keys()) - set(_CHANGING)
        return all(_same(one.get(name), other.get(name)) for name in names)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _asked(task: str, text: str, texts: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Path and body of each way to ask for a task."""
    greedy = {"temperature": 0, "max_tokens": _MAX_NEW_TOKENS}
    ways: dict[str, list[tuple[str, dict[str, Any]]]] = {
        "text-generation": [
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], **greedy}),
            ("/v1/completions", {"prompt": [text, "the"], **greedy}),
        ],
        "embed": [
            ("/embed", {"inputs": text}),
            ("/v1/embeddings", {"input": [text, "good film"]}),
            ("/similarity", {"inputs": {"source_sentence": text, "sentences": list(texts[:3])}}),
        ],
        "text-classification": [("/predict", {"inputs": [[text], ["good"]]}), ("/v1/classify", {"inputs": [text]})],
        "token-classification": [("/v1/pipelines/token-classification", {"inputs": text})],
        "rerank": [("/v2/rerank", {"query": text, "documents": list(texts[:5])})],
    }
    return ways.get(task, [])


def _streams(model: str, texts: Sequence[str]) -> list[Question]:
    bodies = [
        {"model": model, "messages": [{"role": "user", "content": text}], "stream": True, "max_tokens": 64}
        for text in texts
    ]
    return [
        Question(f"stream {number}", "/v1/chat/completions", _json(body), ("left",), False, number % 6)
        for number, body in enumerate(bodies)
    ]


def _broken(model: str) -> list[Question]:
    bad = (400, 413, 422, "closed")
    contents = {
        "nothing": b"",
        "half": b'{"inputs": "go',
        "no UTF-8": b'{"inputs": "\xff\xfe"}',
        "deep": b"[" * 50_000,
        "too large": b'{"inputs": "' + b"a" * (9 << 20) + b'"}',
        "unknown field": b'{"inputs": "a", "no_such_field": 1}',
    }
    paths = ("/embed", "/predict", "/v1/chat/completions", "/v2/rerank")
    found = [
        Question(f"{name} to {path}", path, content, bad, False) for name, content in contents.items() for path in paths
    ]
    unknown = _json({"model": "no-such-model", "prompt": "a"})
    return [
        *found,
        Question("an unknown model", "/v1/completions", unknown, (404,)),
        Question("an unknown task", "/v1/pipelines/no-such-task", _json({"inputs": "a", "model": model}), (404,)),
    ]


def _json(value: Any) -> bytes:
    # By the client's own encoder, as a user's request is written.
    return httpx.Request("POST", "http://server", json=value).content
