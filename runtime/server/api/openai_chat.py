"""``/v1/chat/completions``, whole or streamed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import numpy as np

from ...generation.grammar import Grammar
from ...generation.history import TokenIds
from ..endpoints import Call, Endpoint
from ..engine.requests import Piece, TokenLogprob
from ..engine.sequence import Sequence
from ..http import Answer, EventStream
from ..refusals import RefusedError
from ..served_model import GENERATION, ServedModel
from .generating import (
    DONE,
    Generation,
    event,
    finish_reason,
    logprobs_of,
    new_id,
    refuse_fields,
    require_room,
    text_of,
    with_errors,
)
from .openai_options import make_sequences, usage_of
from .openai_types import (
    AnswerMessage,
    ChatChoice,
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    ChoiceLogprobs,
    ChunkChoice,
    ContentLogprob,
    Delta,
    Message,
    ResponseFormat,
    Tool,
    TopLogprob,
)
from .token_texts import token_bytes, token_string

# Field → values that ask for nothing.
_UNAVAILABLE: Mapping[str, tuple[Any, ...]] = {
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "verbosity": ("medium",),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "store": (False,),
    "modalities": (["text"],),
}


async def chat_completions(call: Call) -> Answer | EventStream:
    """Continue a conversation."""
    request: ChatRequest = await call.body()
    served = call.server.registry.find(GENERATION, request.model)
    _require_available(request)
    require_room(call, request.n or 1)
    sequences = await call.server.in_thread(_sequences, served, request)
    generation = Generation(call, served, sequences)
    head = (new_id("chatcmpl"), int(time.time()), served.name)
    num_prompt_tokens = len(sequences[0].request.prompt_ids)
    if request.stream:
        events = _events(request, served, generation, head, num_prompt_tokens)
        return EventStream(with_errors(call, events), call.server.settings.send_timeout_s)
    choices = await generation.gathered(len(sequences))
    usage = usage_of(num_prompt_tokens, generation.num_new_tokens, generation.num_cached_tokens(len(choices)))
    answers = [_choice(request, served, index, pieces) for index, pieces in enumerate(choices)]
    return Answer.json(ChatCompletion(*head, answers, usage))


def _require_available(request: ChatRequest) -> None:
    refuse_fields(request, _UNAVAILABLE)
    if request.tool_choice not in (None, "none", "auto"):
        raise RefusedError(
            400,
            "tool_choice may be none or auto here; calls cannot be forced.",
            param="tool_choice",
            code="unsupported_parameter",
        )
    if request.top_logprobs is not None and not request.logprobs:
        raise RefusedError(400, "top_logprobs needs logprobs to be true.", param="top_logprobs", code="invalid_value")
    if request.stream_options is not None and not request.stream:
        raise RefusedError(400, "stream_options needs stream to be true.", param="stream_options", code="invalid_value")


def _sequences(served: ServedModel, request: ChatRequest) -> list[Sequence]:
    """The request, rendered and tokenized."""
    if request.max_tokens is not None and request.max_completion_tokens is not None:
        raise RefusedError(
            400, "Send max_completion_tokens or max_tokens, not both.", param="max_tokens", code="invalid_value"
        )
    return make_sequences(
        served,
        request,
        _prompt_ids(served, request),
        max_new_tokens=request.max_completion_tokens or request.max_tokens,
        num_top_logprobs=(request.top_logprobs or 0) if request.logprobs else None,
        grammar=None if request.response_format is None else _grammar(request.response_format),
    )


def _grammar(wanted: ResponseFormat) -> Grammar | None:
    """What the answer has to look like; None for any text."""
    if wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return Grammar.json_object() if wanted.value is None else Grammar.json_schema(wanted.value)
    if wanted.type == "json_schema":
        schema = wanted.json_schema.schema if wanted.json_schema is not None else wanted.value
        if schema is not None:
            return Grammar.json_schema(schema)
    elif wanted.type == "regex" and wanted.regex is not None:
        return Grammar.regex(wanted.regex)
    elif wanted.type == "grammar" and wanted.grammar is not None:
        return Grammar.lark(wanted.grammar)
    raise RefusedError(
        400,
        f"response_format of type {wanted.type} needs its {wanted.type}.",
        param=f"response_format.{wanted.type}",
        code="invalid_value",
    )


def _prompt_ids(served: ServedModel, request: ChatRequest) -> TokenIds:
    """The conversation through the model's chat template; (tokens,) int64."""
    variables = dict(request.chat_template_kwargs or {})
    if request.reasoning_effort is not None:
        variables.setdefault("reasoning_effort", request.reasoning_effort)
    tools = None
    if request.tools and request.tool_choice != "none":
        tools = [_template_tool(tool) for tool in request.tools]
    reserved = {
        "conversation",
        "tools",
        "tokenize",
        "return_tensors",
        "return_dict",
        "chat_template",
    } & variables.keys()
    if reserved:
        raise RefusedError(
            400,
            f"chat_template_kwargs may not set {', '.join(sorted(reserved))}.",
            param="chat_template_kwargs",
            code="invalid_value",
        )
    is_open = bool(variables.pop("continue_final_message", False))
    encoded = served.tokenizer.apply_chat_template(
        [_template_message(message, index) for index, message in enumerate(request.messages)],
        tools=tools,
        add_generation_prompt=bool(variables.pop("add_generation_prompt", not is_open)),
        continue_final_message=is_open,
        return_tensors="np",
        **variables,
    )
    ids: TokenIds = np.asarray(encoded["input_ids"][0], dtype=np.int64)
    return ids


def _template_message(message: Message, index: int) -> dict[str, Any]:
    """A message as templates read it: texts of parts joined, nothing that is not set."""
    if isinstance(message.content, list):
        texts = []
        for place, part in enumerate(message.content):
            if part.type not in ("text", "input_text") or part.text is None:
                raise RefusedError(
                    400,
                    f"messages[{index}].content[{place}] is a part of type {part.type[:40]!r}; the model reads text.",
                    param=f"messages[{index}].content",
                    code="unsupported_content",
                )
            texts.append(part.text)
        message = msgspec.structs.replace(message, content="\n".join(texts))
    values = _without_none(msgspec.to_builtins(message))
    values.setdefault("content", "")
    for call in values.get("tool_calls", ()):
        call["function"]["arguments"] = _template_arguments(call["function"]["arguments"])
    return values


def _template_tool(tool: Tool) -> dict[str, Any]:
    """A tool as templates write it; its parameters are a schema, in which a null may mean something."""
    return {"type": tool.type, "function": _without_none(msgspec.to_builtins(tool.function))}


def _template_arguments(arguments: str) -> Any:
    """The arguments of an earlier call as templates write them: as an object, not as JSON in a text."""
    try:
        found = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
    return found if isinstance(found, dict) else arguments


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _choice(request: ChatRequest, served: ServedModel, index: int, pieces: list[Piece]) -> ChatChoice:
    logprobs = _logprobs(served, pieces) if request.logprobs else None
    return ChatChoice(index, AnswerMessage(text_of(pieces)), finish_reason(pieces), logprobs)


def _logprobs(served: ServedModel, pieces: list[Piece]) -> ChoiceLogprobs:
    return ChoiceLogprobs([_content_logprob(served, logprob) for logprob in logprobs_of(pieces)])


def _content_logprob(served: ServedModel, logprob: TokenLogprob) -> ContentLogprob:
    tokenizer = served.tokenizer
    top = [
        TopLogprob(token_string(tokenizer, token), value, token_bytes(tokenizer, token)) for token, value in logprob.top
    ]
    token = logprob.token_id
    return ContentLogprob(token_string(tokenizer, token), logprob.logprob, token_bytes(tokenizer, token), top)


async def _events(
    request: ChatRequest,
    served: ServedModel,
    generation: Generation,
    head: tuple[str, int, str],
    num_prompt_tokens: int,
) -> AsyncIterator[bytes]:
    """The answer in chunks: the role first, then text as it comes, then the usage if asked for."""
    include_usage = request.stream_options is not None and request.stream_options.include_usage
    for index in range(request.n or 1):
        yield event(ChatChunk(*head, [ChunkChoice(index, Delta(role="assistant", content=""))]))
    async for piece in generation.pieces():
        logprobs = _logprobs(served, [piece]) if request.logprobs and piece.logprob is not None else None
        if piece.text or logprobs is not None or piece.finish_reason is not None:
            delta = Delta(content=piece.text) if piece.text else Delta()
            yield event(ChatChunk(*head, [ChunkChoice(piece.index, delta, logprobs, piece.finish_reason)]))
    if include_usage:
        usage = usage_of(num_prompt_tokens, generation.num_new_tokens, generation.num_cached_tokens(request.n or 1))
        yield event(ChatChunk(*head, [], usage))
    yield DONE


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/chat/completions",
        chat_completions,
        "Continue a conversation",
        "OpenAI",
        request=ChatRequest,
        response=ChatCompletion,
        may_stream=True,
    ),
)
