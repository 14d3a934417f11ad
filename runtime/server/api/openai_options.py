"""Options of OpenAI's generation endpoints: the fields both share, and what each becomes for the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from ...generation.config import GenerationConfig
from ...generation.config_resolve import resolve_config, resolve_lengths
from ...generation.grammar import Grammar
from ...generation.history import TokenIds
from ..engine.requests import ScoreProcessor, SequenceRequest
from ..engine.scores import LogitBias, OccurrencePenalty
from ..engine.sequence import Sequence
from ..refusals import RefusedError
from ..served_model import ServedModel

Bias = Annotated[float, msgspec.Meta(ge=-100, le=100)]
Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
StopText = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Seed = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    """Options of a streamed answer."""

    include_usage: bool = False
    include_obfuscation: bool = False


class PromptTokensDetails(msgspec.Struct):
    """Tokens of the prompt that were not run again."""

    cached_tokens: int


class Usage(msgspec.Struct):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class GenerationFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Fields of chat and plain completions."""

    model: str
    max_tokens: Count | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Share | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    stop: StopText | Annotated[list[StopText], msgspec.Meta(max_length=16)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    seed: Seed | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Bias] | None = None
    user: str | None = None
    top_k: Annotated[int, msgspec.Meta(ge=-1, le=1_000_000)] | None = None
    min_p: Share | None = None
    repetition_penalty: Annotated[float, msgspec.Meta(gt=0, le=100)] | None = None


def usage_of(num_prompt_tokens: int, num_new_tokens: int, num_cached_tokens: int) -> Usage:
    """Usage of a request."""
    details = PromptTokensDetails(num_cached_tokens)
    return Usage(num_prompt_tokens, num_new_tokens, num_prompt_tokens + num_new_tokens, details)


def make_sequences(
    served: ServedModel,
    fields: GenerationFields,
    prompt_ids: TokenIds,
    *,
    max_new_tokens: int | None,
    num_top_logprobs: int | None,
    first_index: int = 0,
    grammar: Grammar | None = None,
) -> list[Sequence]:
    """The sequences that a request asks for.

    Args:
        served: the model.
        fields: the request's options.
        prompt_ids: (tokens,) int64.
        max_new_tokens: what the request says; None writes up to the end of the context.
        num_top_logprobs: likeliest tokens to report; None reports none.
        first_index: number of the first choice.
        grammar: what the text has to look like, or None.

    Raises:
        OptionError, InputTooLongError, RefusedError: they cannot be generated.
    """
    config = _config(served, fields, prompt_ids, max_new_tokens)
    processors = tuple(_bias_and_penalties(fields, served.facts.vocab_size))
    stop = (fields.stop,) if isinstance(fields.stop, str) else tuple(fields.stop or ())
    sequences = []
    for number in range(fields.n or 1):
        own = config.copy()
        if config.seed is not None and number:
            # Other choices of a request draw from streams of their own, the same every time.
            own.seed = _seed_of_choice(config.seed, number)
        request = SequenceRequest(prompt_ids, own, first_index + number, stop, num_top_logprobs, processors, grammar)
        sequences.append(served.sequence(request))
    return sequences


def _seed_of_choice(seed: Any, number: int) -> int:
    return int(np.random.SeedSequence((int(seed), number)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _config(
    served: ServedModel, fields: GenerationFields, prompt_ids: TokenIds, max_new_tokens: int | None
) -> GenerationConfig:
    """The request's options, with the model's own defaults where it says nothing."""
    if not len(prompt_ids):
        raise RefusedError(400, "The prompt is empty; there must be text.", code="invalid_value")
    defaults = served.generation_config
    context_length = _smallest(served.facts.max_length, served.max_context_tokens)
    temperature = _first(fields.temperature, defaults.temperature, 1.0)
    options: dict[str, Any] = {
        "max_new_tokens": _new_tokens(max_new_tokens, len(prompt_ids), context_length),
        "do_sample": temperature > 0,
        "num_beams": 1,
        "num_return_sequences": 1,
        "prompt_lookup_num_tokens": None,
        "seed": None if fields.seed is None else fields.seed % 2**63,
    }
    if temperature > 0:
        options["temperature"] = temperature
        options["top_p"] = _first(fields.top_p, defaults.top_p, 1.0)
        options["top_k"] = max(_first(fields.top_k, defaults.top_k, 0), 0)
        options["min_p"] = fields.min_p
    if fields.repetition_penalty is not None:
        options["repetition_penalty"] = fields.repetition_penalty
    return resolve_lengths(resolve_config(defaults, **options), len(prompt_ids), context_length=context_length)


def _new_tokens(wanted: int | None, prompt_length: int, context_length: int | None) -> int | None:
    if wanted is not None or context_length is None:
        return wanted
    # A prompt that fills the context is refused when lengths are resolved.
    return max(context_length - prompt_length, 1)


def _bias_and_penalties(fields: GenerationFields, vocab_size: int) -> list[Callable[[], ScoreProcessor]]:
    makers: list[Callable[[], ScoreProcessor]] = []
    presence, frequency = fields.presence_penalty or 0.0, fields.frequency_penalty or 0.0
    if presence or frequency:
        makers.append(partial(OccurrencePenalty, presence, frequency))
    if fields.logit_bias:
        biases = _token_biases(fields.logit_bias, vocab_size)
        makers.append(partial(LogitBias, biases))
    return makers


def _token_biases(given: Mapping[str, float], vocab_size: int) -> dict[int, float]:
    biases = {}
    for name, bias in given.items():
        if not name.isascii() or not name.isdigit() or int(name) >= vocab_size:
            raise RefusedError(
                400,
                f"logit_bias names the token {name[:20]!r}; token ids are 0 to {vocab_size - 1}.",
                param="logit_bias",
                code="invalid_value",
            )
        biases[int(name)] = bias
    return biases


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _smallest(*values: int | None) -> int | None:
    return min((value for value in values if value is not None), default=None)


ServiceTier = Literal["auto", "default", "flex", "priority", "scale"]
