"""Which generation options exist, which values each takes, and which ones of transformers are refused and why.

Source of names, defaults and limits: transformers 5.23, generation/configuration_utils.py and logits_process.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

Check = Callable[[Any], bool]


@dataclass(frozen=True)
class Option:
    """What an option takes; None always means not set."""

    is_valid: Check
    allowed: str


@dataclass(frozen=True)
class Refusal:
    """An option of transformers that Headway does not have.

    Args:
        neutral: the values that change nothing; they are accepted.
        reason: what to do instead.
        changes_tokens: whether another value would change the tokens, so that a model's file that asks for it is an
            error too. Otherwise the file's value is only a hint, and is not used.
    """

    neutral: tuple[Any, ...]
    reason: str
    changes_tokens: bool = True


GLOBAL_DEFAULTS: Mapping[str, Any] = {
    "min_length": 0,
    "do_sample": False,
    "use_cache": True,
    "early_stopping": False,
    "num_beams": 1,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "num_return_sequences": 1,
    "output_scores": False,
    "return_dict_in_generate": False,
    "remove_invalid_values": False,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "encoder_repetition_penalty": 1.0,
}
"""What applies where neither the call nor the model's file says; max_length is 20 tokens more than the prompt."""


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


def _integers(least: int) -> Option:
    return Option(lambda value: _is_integer(value) and value >= least, f"an integer of at least {least}")


def _numbers(is_inside: Check, allowed: str) -> Option:
    return Option(lambda value: _is_number(value) and is_inside(value), allowed)


def _is_token_list(value: Any) -> bool:
    return _is_integer_list(value) and all(map(_is_token, value))


def _is_token(value: Any) -> bool:
    return _is_integer(value) and value >= 0


def _is_integer_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str) and all(map(_is_integer, value))


def _is_token_or_list(value: Any) -> bool:
    # Some models write -1 for "never"; transformers takes it.
    return _is_integer(value) or (isinstance(value, (list, tuple)) and len(value) > 0 and all(map(_is_integer, value)))


def _is_bad_words(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(_is_token_list(word) and word for word in value)


def _is_sequence_bias(value: Any) -> bool:
    pairs = value.items() if isinstance(value, Mapping) else value
    if not isinstance(pairs, Iterable) or not value:
        return False
    return all(
        isinstance(pair, (list, tuple))
        and len(pair) == 2
        and _is_token_list(pair[0])
        and len(pair[0]) > 0
        and _is_number(pair[1])
        for pair in pairs
    )


def _is_length_decay(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and _is_integer(value[0]) and _is_number(value[1])


def _is_strings(value: Any) -> bool:
    strings = [value] if isinstance(value, str) else value
    return isinstance(strings, (list, tuple)) and all(isinstance(text, str) and text for text in strings)


def _is_seed(value: Any) -> bool:
    seeds = value if isinstance(value, (list, tuple)) else [value]
    return all(_is_integer(seed) and seed >= 0 for seed in seeds)


_BOOLEAN = Option(lambda value: isinstance(value, bool), "True or False")
_POSITIVE = _numbers(lambda value: value > 0, "a number over 0")
_NOT_NEGATIVE = _numbers(lambda value: value >= 0, "a number of at least 0")
_PROBABILITY = _numbers(lambda value: 0 <= value <= 1, "a number from 0 to 1")
_SHARE = _numbers(lambda value: 0 < value <= 1, "a number over 0 and at most 1")
_CUTOFF = _numbers(lambda value: 0 <= value < 1, "a number from 0 to less than 1")
_FINITE = _numbers(math.isfinite, "a finite number")
_TOKEN = Option(_is_token, "a token id")
# Some models write -1 for "none".
_TOKENS = Option(_is_integer_list, "a list of token ids")
_TOKEN_OR_LIST = Option(_is_token_or_list, "a token id or a list of them")

OPTIONS: Mapping[str, Option] = {
    "max_length": _integers(1),
    "max_new_tokens": _integers(1),
    "min_length": _integers(0),
    "min_new_tokens": _integers(0),
    "early_stopping": Option(lambda value: isinstance(value, bool) or value == "never", "True, False or 'never'"),
    "max_time": _NOT_NEGATIVE,
    "stop_strings": Option(_is_strings, "a string or a list of strings, none empty"),
    "do_sample": _BOOLEAN,
    "num_beams": _integers(1),
    "use_cache": _BOOLEAN,
    "temperature": _NOT_NEGATIVE,
    "top_k": _integers(0),
    "top_p": _PROBABILITY,
    "min_p": _PROBABILITY,
    "top_h": _SHARE,
    "typical_p": _SHARE,
    "epsilon_cutoff": _CUTOFF,
    "eta_cutoff": _CUTOFF,
    "repetition_penalty": _POSITIVE,
    "encoder_repetition_penalty": _POSITIVE,
    "length_penalty": _FINITE,
    "no_repeat_ngram_size": _integers(0),
    "encoder_no_repeat_ngram_size": _integers(0),
    "bad_words_ids": Option(_is_bad_words, "a list of lists of token ids, none empty"),
    "sequence_bias": Option(_is_sequence_bias, "a list of [[token ids], bias], or a dict of {(token ids): bias}"),
    "renormalize_logits": _BOOLEAN,
    "forced_bos_token_id": _TOKEN,
    "forced_eos_token_id": Option(lambda value: _is_token(value) or _is_token_list(value), _TOKEN_OR_LIST.allowed),
    "remove_invalid_values": _BOOLEAN,
    "exponential_decay_length_penalty": Option(_is_length_decay, "(start, factor), an integer and a number"),
    "suppress_tokens": _TOKENS,
    "begin_suppress_tokens": _TOKENS,
    "num_return_sequences": _integers(1),
    "output_scores": _BOOLEAN,
    "output_logits": _BOOLEAN,
    "return_dict_in_generate": _BOOLEAN,
    "pad_token_id": Option(_is_integer, "a token id"),
    "bos_token_id": _TOKEN_OR_LIST,
    "eos_token_id": _TOKEN_OR_LIST,
    "decoder_start_token_id": _TOKEN_OR_LIST,
    "prompt_lookup_num_tokens": _integers(1),
    "max_matching_ngram_size": _integers(1),
    "seed": Option(_is_seed, "an integer of at least 0, or one per row"),
}

_NO_ASSISTANT = "Headway drafts from the prompt itself: use prompt_lookup_num_tokens"
_OWN_CACHE = "Headway lays out its own KV cache"
_OWN_GRAPH = "the graph is compiled at export"
_NOT_IN_GRAPH = "the exported graph does not return them"
_MOVED = "transformers 5 no longer has it either; use num_beams, or do_sample=True"

REFUSED: Mapping[str, Refusal] = {
    "penalty_alpha": Refusal((None, 0), _MOVED),
    "dola_layers": Refusal((None,), _MOVED),
    "num_beam_groups": Refusal((None, 0, 1), _MOVED),
    "diversity_penalty": Refusal((None, 0), _MOVED),
    "constraints": Refusal((None,), _MOVED),
    "force_words_ids": Refusal((None,), _MOVED),
    "low_memory": Refusal((None, False), _MOVED, changes_tokens=False),
    "guidance_scale": Refusal((None, 1), "pass a logits_processor that mixes the two distributions"),
    "watermarking_config": Refusal((None,), "pass a logits_processor that adds the watermark"),
    "token_healing": Refusal((None, False), "drop the prompt's last token yourself"),
    "use_mtp": Refusal((None, False), _NO_ASSISTANT, changes_tokens=False),
    "assistant_model": Refusal((None,), _NO_ASSISTANT),
    "assistant_early_exit": Refusal((None,), _NO_ASSISTANT, changes_tokens=False),
    "assistant_ensemble_weight": Refusal((None,), _NO_ASSISTANT, changes_tokens=False),
    "assistant_confidence_threshold": Refusal((None,), _NO_ASSISTANT, changes_tokens=False),
    "assistant_lookbehind": Refusal((None,), _NO_ASSISTANT, changes_tokens=False),
    "target_lookbehind": Refusal((None,), _NO_ASSISTANT, changes_tokens=False),
    "is_assistant": Refusal((None, False), _NO_ASSISTANT, changes_tokens=False),
    "num_assistant_tokens": Refusal((None,), _NO_ASSISTANT, changes_tokens=False),
    "num_assistant_tokens_schedule": Refusal((None,), _NO_ASSISTANT, changes_tokens=False),
    "speculation_type": Refusal((None,), _NO_ASSISTANT, changes_tokens=False),
    "cache_implementation": Refusal((None, "dynamic", "static"), _OWN_CACHE, changes_tokens=False),
    "cache_config": Refusal((None,), _OWN_CACHE, changes_tokens=False),
    "max_cache_len": Refusal((None,), _OWN_CACHE, changes_tokens=False),
    "continuous_batching_config": Refusal((None,), _OWN_CACHE, changes_tokens=False),
    "prefill_chunk_size": Refusal((None,), _OWN_CACHE, changes_tokens=False),
    "compile_config": Refusal((None,), _OWN_GRAPH, changes_tokens=False),
    "disable_compile": Refusal((None, True, False), _OWN_GRAPH, changes_tokens=False),
    "output_attentions": Refusal((None, False), _NOT_IN_GRAPH, changes_tokens=False),
    "output_hidden_states": Refusal((None, False), _NOT_IN_GRAPH, changes_tokens=False),
}

GENERATE_ARGUMENTS = frozenset(
    {"grammar", "logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn", "streamer", "tokenizer"}
)
"""Arguments of ``generate()`` that are no part of a configuration."""

SAMPLING_ONLY: Mapping[str, Any] = {
    "temperature": (1.0, 0.0),
    "top_k": (50, 0),
    "top_p": (1.0,),
    "min_p": (),
    "top_h": (),
    "typical_p": (1.0,),
    "epsilon_cutoff": (0.0,),
    "eta_cutoff": (0.0,),
}
"""Options that act only with do_sample=True, with the values that ask for nothing."""

BEAMS_ONLY: Mapping[str, Any] = {"early_stopping": (False,), "length_penalty": (1.0,)}
"""Options that act only with num_beams over 1, with the values that ask for nothing."""
