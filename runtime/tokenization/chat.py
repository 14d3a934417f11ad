"""Render chat templates, as transformers' ``render_jinja_template`` does (transformers 5.23)."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError
from .chat_environment import compile_template, render_tracking_generation
from .chat_schema import function_schema

logger = logging.getLogger("headway")

# Names under which messages carry reasoning; templates read the first, gpt-oss ones the second.
REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")
_CONTINUE_TAG = "CONTINUE_FINAL_MESSAGE_TAG "
_GENERATION_BLOCK = re.compile(r"\{%-?\s*generation\s*-?%\}")
_PLAIN_TYPES = (str, int, float, bool, type(None))


def render_chat(
    template: str,
    conversation: Any,
    *,
    tools: Sequence[dict[str, Any] | Callable[..., Any]] | None = None,
    documents: Sequence[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = False,
    continue_final_message: bool | str = False,
    **template_kwargs: Any,
) -> str:
    """Text of a conversation.

    Args:
        template: Jinja source. It runs in a sandbox and sees plain data only.
        conversation: messages, each with ``role`` and ``content``.
        tools: JSON schemas, or functions with type hints and a Google-style docstring.
        documents: dicts with ``title`` and ``text``, for templates that take them.
        add_generation_prompt: end with the header of an assistant's message.
        continue_final_message: leave the last message open; a str names the field to continue instead of
            ``content``.
        template_kwargs: further variables, such as ``bos_token`` or ``enable_thinking``.

    Raises:
        InputError: the template refused the conversation (with its message), or cannot continue it.
        InputTypeError: messages, tools or documents of the wrong type.

    Example:
        >>> template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        >>> render_chat(template, [{"role": "user", "content": "Hi"}])
        '<user>Hi'
    """
    text, _ = render_chat_with_spans(
        template,
        conversation,
        tools=tools,
        documents=documents,
        add_generation_prompt=add_generation_prompt,
        continue_final_message=continue_final_message,
        track_generation=False,
        **template_kwargs,
    )
    return text


def render_chat_with_spans(
    template: str,
    conversation: Any,
    *,
    tools: Sequence[dict[str, Any] | Callable[..., Any]] | None = None,
    documents: Sequence[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = False,
    continue_final_message: bool | str = False,
    track_generation: bool = True,
    **template_kwargs: Any,
) -> tuple[str, list[tuple[int, int]]]:
    """Text of a conversation, and the (start, end) characters of its ``{% generation %}`` blocks.

    See ``render_chat``; without ``track_generation`` the list is empty.
    """
    if track_generation and not _GENERATION_BLOCK.search(template):
        logger.warning("The chat template has no {%% generation %%} block, so no token counts as the assistant's.")
    messages = _messages(conversation)
    continued = _tag_final_message(template, messages, continue_final_message) if continue_final_message else None
    variables = {
        "messages": messages,
        "tools": _plain(_tool_schemas(tools)),
        "documents": _plain(_checked_documents(documents)),
        "add_generation_prompt": add_generation_prompt,
        **_plain(template_kwargs),
    }
    compiled = compile_template(template)
    text, spans = render_tracking_generation(compiled, variables)
    if continued is not None:
        text = _cut_at_tag(text, continued)
    return text, spans if track_generation else []


def _tool_schemas(tools: Sequence[Any] | None) -> list[dict[str, Any]] | None:
    if tools is None:
        return None
    return [_tool_schema(tool) for tool in tools]


def _tool_schema(tool: Any) -> dict[str, Any]:
    if isinstance(tool, dict):
        return tool
    if inspect.isfunction(tool) or inspect.ismethod(tool):
        return function_schema(tool)
    raise InputTypeError(
        f"got the tool {tool!r}: tools are JSON schemas (dict), or functions with type hints and a docstring"
    )


def _checked_documents(documents: Sequence[Any] | None) -> Sequence[Any] | None:
    for document in documents or ():
        if not isinstance(document, Mapping):
            raise InputTypeError(f"got the document {document!r}: documents are dicts with 'title' and 'text'")
    return documents


def _messages(conversation: Any) -> list[dict[str, Any]]:
    """A fresh copy of the messages as plain data, with reasoning under every name that templates read."""
    conversation = getattr(conversation, "messages", conversation)
    plain = _plain(conversation)
    if not isinstance(plain, list | tuple):
        raise InputTypeError(f"got {conversation!r:.80}: a conversation is a list of messages")
    for message in plain:
        if not isinstance(message, dict):
            raise InputTypeError(f"got the message {message!r:.80}: messages are dicts with 'role' and 'content'")
    return [_with_reasoning(message) for message in plain]


def _with_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    reasoning = next((message[name] for name in REASONING_FIELDS if message.get(name) is not None), None)
    if reasoning is None:
        return message
    return {"thinking": reasoning, **message, "reasoning_content": reasoning}


def _plain(value: Any) -> Any:
    """``value`` rebuilt out of plain JSON types, so that a template meets no object with methods of its own."""
    if type(value) in _PLAIN_TYPES:
        return value
    for base in (str, int, float):
        if isinstance(value, base):  # enums and other subclasses
            return getattr(base, f"__{base.__name__}__")(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    if isinstance(value, np.generic):
        return _plain(value.item())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if callable(getattr(value, "model_dump", None)):
        return _plain(value.model_dump())
    return f"<{type(value).__name__}>"


def _tag_final_message(template: str, messages: list[dict[str, Any]], field: bool | str) -> str:
    """Mark the end of the final message, in place, and return the text that is to be continued."""
    name = field if isinstance(field, str) else "content"
    if not messages:
        raise InputError("continue_final_message needs at least one message to continue")
    message = messages[-1]
    final = message.get(name)
    if final is None:
        raise InputError(f"continue_final_message is set, and the final message has no {name!r}")
    names = [name]
    if name in REASONING_FIELDS:
        names = [other for other in REASONING_FIELDS if message.get(other) == final]
    if not any(other in template for other in names):
        raise InputError(f"continue_final_message={name!r}: the chat template does not read that field")
    if isinstance(final, list | tuple):
        block = next((block for block in reversed(final) if "text" in block), None)
        if block is None:
            raise InputError("continue_final_message is set, and the final message has no text block to continue")
        return _tag(block, ["text"])
    return _tag(message, names)


def _tag(holder: dict[str, Any], names: list[str]) -> str:
    text = holder[names[0]]
    if not isinstance(text, str):
        raise InputTypeError(f"continue_final_message needs text in {names[0]!r}, and it holds {text!r:.80}")
    for name in names:
        holder[name] = text + _CONTINUE_TAG
    return text


def _cut_at_tag(text: str, continued: str) -> str:
    """``text`` up to the end of the final message."""
    tag = _CONTINUE_TAG.strip()
    if continued.strip() not in text or tag not in text:
        raise InputError(
            "the chat template left out parts of the final message, so it cannot be continued. Final message:"
            f" {continued.strip()!r}"
        )
    end = text.rindex(tag)
    if text[end : end + len(_CONTINUE_TAG)] == _CONTINUE_TAG:
        return text[:end]
    # The template strips messages: what stood before the tag was stripped space too.
    return text[:end].rstrip()
