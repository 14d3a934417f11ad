"""``/v1/completions``: prompts continued as they are, whole or streamed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from ...generation.history import TokenIds
from ...generation.tokens import require_known_ids
from ..endpoints import Call, Endpoint
from ..engine.requests import Piece
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
from .openai_options import GenerationFields, Usage, make_sequences, usage_of
from .token_texts import token_string

_DEFAULT_NEW_TOKENS = 16
_MAX_PROMPTS = 128
Token = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class CompletionRequest(GenerationFields, kw_only=True, forbid_unknown_fields=True):
    """Texts, or their token ids, to continue. ``user`` is accepted and not used."""

    prompt: str | list[str | Token | list[Token]]
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    best_of: Annotated[int, msgspec.Meta(ge=1)] | None = None
    suffix: str | None = None


class CompletionLogprobs(msgspec.Struct):
    """Probabilities of a completion's tokens."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class CompletionChoice(msgspec.Struct):
    """One completion, or a piece of it."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: Literal["stop", "length"] | None = None


class Completion(msgspec.Struct):
    """All completions, or a piece of them."""

    id: str
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
    object: Literal["text_completion"] = "text_completion"


# Field → values that ask for nothing.
_UNAVAILABLE: Mapping[str, tuple[Any, ...]] = {"suffix": ("",)}


async def completions(call: Call) -> Answer | EventStream:
    """Continue prompts."""
    request: CompletionRequest = await call.body()
    served = call.server.registry.find(GENERATION, request.model)
    _require_available(request)
    prompts = await call.server.in_thread(_prompts, served, request.prompt)
    require_room(call, len(prompts) * (request.n or 1))
    sequences = await call.server.in_thread(_sequences, served, request, prompts)
    generation = Generation(call, served, sequences)
    head = (new_id("cmpl"), int(time.time()), served.name)
    num_prompt_tokens = sum(map(len, prompts))
    echoes = await call.server.in_thread(_echoes, served, request, prompts)
    if request.stream:
        events = _events(request, served, generation, head, num_prompt_tokens, echoes)
        return EventStream(with_errors(call, events), call.server.settings.send_timeout_s)
    pieces = await generation.gathered(len(sequences))
    choices = [
        CompletionChoice(
            index, echoes[index] + text_of(own), _logprobs(request, served, own, echoes[index]), finish_reason(own)
        )
        for index, own in enumerate(pieces)
    ]
    usage = usage_of(num_prompt_tokens, generation.num_new_tokens, generation.num_cached_tokens(request.n or 1))
    return Answer.json(Completion(*head, choices, usage))


def _require_available(request: CompletionRequest) -> None:
    refuse_fields(request, _UNAVAILABLE)
    if request.best_of not in (None, request.n or 1):
        raise RefusedError(
            400, "best_of is available only where it equals n.", param="best_of", code="unsupported_parameter"
        )
    if request.echo and request.logprobs is not None:
        raise RefusedError(
            400, "echo together with logprobs is not available.", param="echo", code="unsupported_parameter"
        )
    if request.stream_options is not None and not request.stream:
        raise RefusedError(400, "stream_options needs stream to be true.", param="stream_options", code="invalid_value")


def _prompts(served: ServedModel, given: str | list[Any]) -> list[TokenIds]:
    """(tokens,) int64 for each prompt."""
    is_one = isinstance(given, str) or (given and all(isinstance(item, int) for item in given))
    if is_one:
        given = [given]
    if not 0 < len(given) <= _MAX_PROMPTS or len({type(item) for item in given}) > 1:
        raise RefusedError(
            400,
            f"prompt is a text, a list of texts, token ids, or a list of these; 1 to {_MAX_PROMPTS} at a time.",
            param="prompt",
            code="invalid_value",
        )
    prompts = []
    for item in given:
        ids = served.tokenizer(item, verbose=False)["input_ids"] if isinstance(item, str) else item
        require_known_ids(ids, served.facts.vocab_size)
        prompts.append(np.array(ids, dtype=np.int64))
    return prompts


def _sequences(served: ServedModel, request: CompletionRequest, prompts: list[TokenIds]) -> list[Sequence]:
    per_prompt = request.n or 1
    return [
        sequence
        for number, prompt_ids in enumerate(prompts)
        for sequence in make_sequences(
            served,
            request,
            prompt_ids,
            max_new_tokens=request.max_tokens or _DEFAULT_NEW_TOKENS,
            num_top_logprobs=request.logprobs,
            first_index=number * per_prompt,
        )
    ]


def _echoes(served: ServedModel, request: CompletionRequest, prompts: list[TokenIds]) -> list[str]:
    """What goes before each choice's text."""
    texts = [served.tokenizer.decode(ids.tolist(), skip_special_tokens=True) if request.echo else "" for ids in prompts]
    return [text for text in texts for _ in range(request.n or 1)]


def _logprobs(
    request: CompletionRequest, served: ServedModel, pieces: list[Piece], before: str
) -> CompletionLogprobs | None:
    if request.logprobs is None:
        return None
    found = logprobs_of(pieces)
    tokens = [token_string(served.tokenizer, logprob.token_id) for logprob in found]
    offsets, offset = [], len(before)
    for token in tokens:
        offsets.append(offset)
        offset += len(token)
    top = [{token_string(served.tokenizer, token): value for token, value in logprob.top} for logprob in found]
    return CompletionLogprobs(
        tokens, [logprob.logprob for logprob in found], top if request.logprobs else None, offsets
    )


async def _events(
    request: CompletionRequest,
    served: ServedModel,
    generation: Generation,
    head: tuple[str, int, str],
    num_prompt_tokens: int,
    echoes: list[str],
) -> AsyncIterator[bytes]:
    written = dict.fromkeys(range(len(echoes)), "")
    for index, echo in enumerate(echoes):
        if echo:
            written[index] = echo
            yield event(Completion(*head, [CompletionChoice(index, echo)]))
    async for piece in generation.pieces():
        logprobs = _logprobs(request, served, [piece], written[piece.index]) if piece.logprob is not None else None
        written[piece.index] += piece.text
        if piece.text or logprobs is not None or piece.finish_reason is not None:
            reason: Any = piece.finish_reason
            yield event(Completion(*head, [CompletionChoice(piece.index, piece.text, logprobs, reason)]))
    if request.stream_options is not None and request.stream_options.include_usage:
        usage = usage_of(num_prompt_tokens, generation.num_new_tokens, generation.num_cached_tokens(request.n or 1))
        yield event(Completion(*head, [], usage))
    yield DONE


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/completions",
        completions,
        "Continue prompts",
        "OpenAI",
        request=CompletionRequest,
        response=Completion,
        may_stream=True,
    ),
)
