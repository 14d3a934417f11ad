"""What ``/v1/chat/completions`` takes and gives."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from .openai_options import GenerationFields, ServiceTier, Usage


class ContentPart(msgspec.Struct):
    """A part of a message; only text is read."""

    type: str
    text: str | None = None


class FunctionCall(msgspec.Struct):
    """What a tool is called with; ``arguments`` is JSON."""

    name: str
    arguments: str = "{}"


class ToolCall(msgspec.Struct, kw_only=True):
    """A call that an earlier answer made."""

    id: str = ""
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(msgspec.Struct):
    """A turn of the conversation."""

    role: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None


class FunctionDefinition(msgspec.Struct):
    """A function that the model may call."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct, kw_only=True):
    """A tool, shown to the model through its chat template with its fields in this order."""

    type: Literal["function"] = "function"
    function: FunctionDefinition


class JsonSchema(msgspec.Struct):
    """A schema that the answer follows."""

    name: str = "answer"
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct):
    """The form of the answer: text, JSON, JSON by a schema, or text by a regex or a Lark grammar.

    ``value`` is a schema too, as the hub's client sends it with ``json_object``.
    """

    type: Literal["text", "json_object", "json_schema", "regex", "grammar"]
    json_schema: JsonSchema | None = None
    regex: str | None = None
    grammar: str | None = None
    value: dict[str, Any] | None = None


class ChatRequest(GenerationFields, kw_only=True, forbid_unknown_fields=True):
    """A conversation to continue.

    ``user``, ``metadata``, ``safety_identifier``, ``prompt_cache_key`` and ``service_tier`` are accepted and not used.
    """

    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    max_completion_tokens: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    metadata: dict[str, str] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: ServiceTier | None = None
    store: bool | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    verbosity: str | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None


class TopLogprob(msgspec.Struct):
    """A likely token."""

    token: str
    logprob: float
    bytes: list[int] | None


class ContentLogprob(msgspec.Struct):
    """A token of the answer, and what else was likely there."""

    token: str
    logprob: float
    bytes: list[int] | None
    top_logprobs: list[TopLogprob]


class ChoiceLogprobs(msgspec.Struct):
    """Probabilities of the answer's tokens."""

    content: list[ContentLogprob]
    refusal: None = None


class AnswerMessage(msgspec.Struct):
    """What the model said."""

    content: str
    role: Literal["assistant"] = "assistant"
    refusal: None = None


class ChatChoice(msgspec.Struct):
    """One answer."""

    index: int
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]
    logprobs: ChoiceLogprobs | None = None


class ChatCompletion(msgspec.Struct):
    """All answers."""

    id: str
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    object: Literal["chat.completion"] = "chat.completion"
    system_fingerprint: str | None = None


class Delta(msgspec.Struct, omit_defaults=True):
    """What a piece adds to an answer."""

    role: str | None = None
    content: str | None = None


class ChunkChoice(msgspec.Struct):
    """A piece of one answer."""

    index: int
    delta: Delta
    logprobs: ChoiceLogprobs | None = None
    finish_reason: str | None = None


class ChatChunk(msgspec.Struct):
    """A piece of the answers; the last one holds the usage and no choice, where it was asked for."""

    id: str
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
