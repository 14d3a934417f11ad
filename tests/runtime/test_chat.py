"""Chat templates against transformers' own rendering."""

import dataclasses
import enum
import re
import threading
from pathlib import Path
from typing import Any, Literal

import jinja2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import (
    DocstringParsingException,
    TypeHintParsingException,
    get_json_schema,
    render_jinja_template,
)

from headway.runtime.errors import InputError, InputTypeError
from headway.runtime.tokenization.chat import render_chat, render_chat_with_spans
from headway.runtime.tokenization.chat_schema import function_schema

TEMPLATES = {path.stem: path.read_text() for path in Path(__file__).parent.joinpath("chat_templates").glob("*.jinja")}
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}

SYSTEM = {"role": "system", "content": "You are terse. Ünïcödé 🙂 <b>&amp;</b>"}
USER = {"role": "user", "content": "  What's the weather in Zürich?\n"}
ANSWER = {"role": "assistant", "content": "Rain, 12°C. "}
THINKING = {"role": "assistant", "content": "42", "reasoning": "6 times\n7"}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "abcdef123",
            "type": "function",
            "function": {"name": "get_weather", "arguments": {"city": "Zürich", "days": 2, "units": None}},
        }
    ],
}
TOOL_RESULT = {"role": "tool", "tool_call_id": "abcdef123", "name": "get_weather", "content": '{"rain": "1 mm"}'}
BLOCKS = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe <it> "}]}
CONVERSATIONS = {
    "question": [USER],
    "with system": [SYSTEM, USER],
    "dialogue": [USER, ANSWER, {"role": "user", "content": "And tomorrow? 日本語 العربية"}],
    "system and dialogue": [SYSTEM, USER, ANSWER, USER, ANSWER],
    "tool use": [USER, CALL, TOOL_RESULT, ANSWER],
    "two tool results": [SYSTEM, USER, CALL, TOOL_RESULT, TOOL_RESULT],
    "thinking": [USER, THINKING, USER, THINKING],
    "thinking inline": [USER, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes."}],
    "two users": [USER, USER],
    "blocks": [BLOCKS],
    "no content": [{"role": "user"}],
}


def get_weather(city: str, days: int = 1, units: Literal["C", "F"] | None = None) -> dict[str, float]:
    """
    Get the weather
    of a place.

    Args:
        city: The city, such as
            Zürich
        days: How many days (choices: [1, 2, 7])
        units: Degrees: Celsius or Fahrenheit

    Returns:
        Millimetres of rain by hour
    """
    return {}


TOOLS = [
    get_weather,
    {
        "type": "function",
        "function": {
            "name": "search",
            "description": 'Search <the> "web" & more',
            "parameters": {"type": "object", "properties": {"query": {"type": "string", "description": "Qüery"}}},
        },
    },
]
DOCUMENTS = [{"title": "Alps", "text": "High & cold."}, {"title": "Ürgüp", "text": "Dry."}]
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "prompt": {"add_generation_prompt": True},
    "continue": {"continue_final_message": True},
    "continue reasoning": {"continue_final_message": "reasoning_content"},
    "tools": {"tools": TOOLS, "add_generation_prompt": True},
    "documents": {"documents": DOCUMENTS, "add_generation_prompt": True},
    "tools and documents": {"tools": TOOLS, "documents": DOCUMENTS},
    "variables": {
        "add_generation_prompt": True,
        "enable_thinking": False,
        "date_string": "1 May 2030",
        "tools_in_user_message": False,
        "controls": {"length": "short"},
        "tools": TOOLS,
    },
}


def expected_rendering(template: str, conversation: list[Any], **options: Any) -> tuple[str, list[Any]]:
    rendered, spans = render_jinja_template([conversation], chat_template=template, **{**SPECIAL_TOKENS, **options})
    return rendered[0], spans


def outcome(template: str, conversation: list[Any], options: dict[str, Any]) -> tuple[str, Exception | None]:
    try:
        return expected_rendering(template, conversation, **options)[0], None
    except Exception as error:
        return "", error


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_as_transformers(name: str, options: dict[str, Any]) -> None:
    num_rendered = 0
    for conversation in CONVERSATIONS.values():
        expected, error = outcome(TEMPLATES[name], conversation, options)
        if error is None:
            num_rendered += 1
            assert render_chat(TEMPLATES[name], conversation, **SPECIAL_TOKENS, **options) == expected
            continue
        message = re.escape(str(error)) if isinstance(error, jinja2.TemplateError) else ""
        with pytest.raises(InputError, match=message or None):
            render_chat(TEMPLATES[name], conversation, **SPECIAL_TOKENS, **options)
    assert num_rendered or "continue_final_message" in options


def test_messages_are_not_changed() -> None:
    conversation = [dict(USER), {"role": "assistant", "content": [{"type": "text", "text": "So"}]}]
    before = repr(conversation)
    text = render_chat(TEMPLATES["multimodal_blocks"], conversation, continue_final_message=True)
    assert text.endswith("<|assistant|>So")
    assert repr(conversation) == before


ROLES = st.sampled_from(["user", "assistant", "system", "tool"])
MESSAGES = st.fixed_dictionaries(
    {"role": ROLES, "content": st.text(max_size=30)}, optional={"reasoning_content": st.text(max_size=9)}
)


@settings(max_examples=200, deadline=None)
@given(
    conversation=st.lists(MESSAGES, min_size=1, max_size=4),
    name=st.sampled_from(sorted(TEMPLATES)),
    options=st.sampled_from(sorted(OPTIONS)),
)
def test_any_messages(conversation: list[dict[str, Any]], name: str, options: str) -> None:
    expected, error = outcome(TEMPLATES[name], conversation, OPTIONS[options])
    if error is None:
        assert render_chat(TEMPLATES[name], conversation, **SPECIAL_TOKENS, **OPTIONS[options]) == expected
        return
    with pytest.raises(InputError):
        render_chat(TEMPLATES[name], conversation, **SPECIAL_TOKENS, **OPTIONS[options])


@pytest.mark.parametrize("name", ["question", "dialogue", "system and dialogue", "thinking"])
def test_generation_spans(name: str) -> None:
    template = TEMPLATES["generation_block"]
    text, spans = expected_rendering(template, CONVERSATIONS[name], return_assistant_tokens_mask=True)
    assert render_chat_with_spans(template, CONVERSATIONS[name], **SPECIAL_TOKENS) == (text, spans[0])
    answers = [message["content"] for message in CONVERSATIONS[name] if message["role"] == "assistant"]
    assert [text[start:end] for start, end in spans[0]] == [f"{answer}<|im_end|>" for answer in answers]


def test_generation_spans_of_threads_do_not_mix() -> None:
    template = TEMPLATES["generation_block"]
    conversations = [[{"role": "assistant", "content": "x" * length}] * 5 for length in range(8)]
    expected = [render_chat_with_spans(template, conversation) for conversation in conversations]
    wrong = []

    def work(index: int) -> None:
        wrong.extend(
            index for _ in range(30) if render_chat_with_spans(template, conversations[index]) != expected[index]
        )

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


class Size(enum.Enum):
    SMALL = "s"
    NUMBER = 3


def many_kinds(
    a: int,
    b: float,
    c: list[str],
    d: tuple[int, str],
    e: dict[str, int],
    f: int | str,
    g: list[int] | dict[str, str],
    h: Size,
    i: bool | None = None,
    j: Any = None,
    k: list = [],  # noqa: B006
) -> object:
    """Do it.

    Args:
        a: A
        b: B: with a colon

        c: C,
           goes on
        d: D
        e: E
        f: F
        g: G
        h: H
        i: I (choices: [true, false])
        j: J
        k: K
    """


def without_returns(city: str) -> None:
    """Short.

    Args:
        city: The city
    Raises:
        ValueError: never
    """


class Toolbox:
    def method(self, name: str) -> str:
        """Find it.

        Args:
            name: What
        """
        return name


@pytest.mark.parametrize(
    "function", [get_weather, many_kinds, without_returns, Toolbox().method, Toolbox.method], ids=lambda f: f.__name__
)
def test_function_schema(function: Any) -> None:
    assert function_schema(function) == get_json_schema(function)


def undocumented(x: int) -> None: ...


def undescribed(x: int) -> None:
    """Do."""


def unhinted(x) -> None:  # type: ignore[no-untyped-def]
    """Do.

    Args:
        x: X
    """


def unmappable(x: set[int]) -> None:
    """Do.

    Args:
        x: X
    """


@pytest.mark.parametrize("function", [undocumented, undescribed, unhinted, unmappable])
def test_functions_without_schema(function: Any) -> None:
    with pytest.raises((DocstringParsingException, TypeHintParsingException)):
        get_json_schema(function)
    with pytest.raises(InputError, match=r"docstring|describe|type hint"):
        function_schema(function)


@dataclasses.dataclass
class Message:
    role: str
    content: Any


class Model:
    def model_dump(self) -> dict[str, Any]:
        return {"role": "user", "content": "from a model"}


class Colour(str, enum.Enum):  # noqa: UP042 (its str() is not its value)
    RED = "red"


@pytest.mark.parametrize(
    "conversation",
    [
        [Message("user", "from a dataclass")],
        [Model()],
        [{"role": Colour.RED, "content": np.str_("scalar")}],
        [{"role": "user", "content": [{"type": "text", "text": "an array"}, {"type": "x", "array": np.ones(3)}]}],
        [{"role": "user", "content": "flag", "flag": np.bool_(False), "n": np.int64(3)}],
    ],
)
def test_objects_become_plain_data(conversation: list[Any]) -> None:
    template = "{% for m in messages %}{{ m | tojson }}{{ m.flag }}{% endfor %}"
    assert render_chat(template, conversation) == expected_rendering(template, conversation)[0]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('no <such> thing') }}", "no <such> thing"),
        ("{% for %}", "does not compile"),
        ("{{ messages[0].content.nothing.more }}", "nothing"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "append"),
        ("{% set ns = namespace() %}{% set ns._x = 1 %}", "_x"),
        ("{{ 1 / 0 }}", "division"),
        ("{{ messages[0].content + 1 }}", "concatenate|str"),
    ],
)
def test_templates_that_fail(template: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        render_chat(template, [USER])


@pytest.mark.parametrize(
    ("conversation", "options", "error", "message"),
    [
        ("hello", {}, InputTypeError, "list of messages"),
        (["hello"], {}, InputTypeError, "dicts with 'role' and 'content'"),
        ([USER], {"tools": ["search"]}, InputTypeError, "JSON schemas"),
        ([USER], {"documents": ["text"]}, InputTypeError, "'title' and 'text'"),
        ([], {"continue_final_message": True}, InputError, "at least one message"),
        ([{"role": "user"}], {"continue_final_message": True}, InputError, "has no 'content'"),
        ([{"role": "user", "content": 3}], {"continue_final_message": True}, InputTypeError, "needs text"),
        ([BLOCKS], {"continue_final_message": "reasoning"}, InputError, "has no 'reasoning'"),
        ([{"role": "user", "content": [{}]}], {"continue_final_message": True}, InputError, "no text block"),
    ],
)
def test_bad_arguments(conversation: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        render_chat(TEMPLATES["chatml"], conversation, **options)


def test_a_field_that_the_template_does_not_read_cannot_be_continued() -> None:
    with pytest.raises(InputError, match="does not read"):
        render_chat(TEMPLATES["chatml"], [THINKING], continue_final_message="reasoning_content")


def test_a_message_that_the_template_drops_cannot_be_continued() -> None:
    with pytest.raises(InputError, match="left out parts"):
        render_chat("{{ messages[0].content }}", [USER, ANSWER], continue_final_message=True)
