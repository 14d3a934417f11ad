"""Tools and earlier calls of them: the model reads what transformers' template would write."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from serving import RunningServer
from tiny_tokenizers import build

from headway.runtime.server.api.openai_chat import _prompt_ids
from headway.runtime.server.api.openai_types import ChatRequest

TEMPLATE = (
    "{% for tool in tools or [] %}{{ tool | tojson }}\n{% endfor %}"
    "{% for message in messages %}<{{ message.role }}> {{ message.content }}"
    "{% for call in message.tool_calls or [] %}[{{ call.function.name }} {{ call.function.arguments | tojson }}]"
    "{% endfor %}\n{% endfor %}"
)
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "What the weather is like",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "day": {"type": ["string", "null"], "default": None}},
            "required": ["city"],
        },
    },
}
ARGUMENTS = {"city": "Paris", "day": None}


def conversation(arguments: Any) -> list[dict[str, Any]]:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    return [
        {"role": "user", "content": "Is it warm?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "30 degrees", "tool_call_id": "call_1"},
    ]


@pytest.fixture
def read(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the model is given for a request's body."""
    served = server.served("chat")
    monkeypatch.setattr(served.tokenizer, "chat_template", TEMPLATE)

    def prompt(body: dict[str, Any]) -> str:
        request = msgspec.convert({"model": "chat", **body}, ChatRequest)
        text: str = served.tokenizer.decode(_prompt_ids(served, request).tolist())
        return text

    return prompt


def test_the_prompt_is_transformers_s(read: Any) -> None:
    """A client sends arguments as JSON in a text; templates are written for objects, and for tools as given."""
    tokenizer = build("Qwen2Tokenizer")
    expected = tokenizer.apply_chat_template(
        conversation(ARGUMENTS), tools=[TOOL], chat_template=TEMPLATE, tokenize=False
    )
    assert read({"messages": conversation(json.dumps(ARGUMENTS)), "tools": [TOOL]}) == expected
    assert '"default": null' in expected


@pytest.mark.parametrize("arguments", ["", "no JSON", "[1, 2]", "7", "[" * 5000])
def test_arguments_that_are_no_object_stay_a_text(read: Any, arguments: str) -> None:
    assert f"[weather {json.dumps(arguments)}]" in read({"messages": conversation(arguments)})
