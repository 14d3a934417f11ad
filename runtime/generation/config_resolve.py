"""From a call's options and a model's defaults to the one configuration that a generation follows.

Source: transformers 5.23, generation/utils.py (`_prepare_generation_config`, `_prepare_generated_length`) and
`GenerationConfig.validate`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from types import NoneType
from typing import Any

from ..errors import InputTooLongError, InputTypeError, OptionError
from .config import GenerationConfig, check_option
from .config_options import BEAMS_ONLY, GLOBAL_DEFAULTS, OPTIONS, REFUSED, SAMPLING_ONLY

_DEFAULT_NEW_TOKENS = 20

logger = logging.getLogger(__name__)


def resolve_config(
    model_defaults: GenerationConfig, generation_config: GenerationConfig | None = None, **options: Any
) -> GenerationConfig:
    """Configuration of one call.

    The call's options come first, then ``generation_config``, then the model's file, then transformers' defaults. None
    in ``generation_config`` means not set, so that the next in line decides; None among ``options`` takes the option
    away, as in transformers. ``max_length`` stays None when nobody set it: see :func:`resolve_lengths`.

    Args:
        model_defaults: the model's own, of its generation_config.json.
        generation_config: the caller's, not changed.
        options: the caller's keyword arguments.

    Returns:
        A new config; ``explicit`` names what the caller set.

    Raises:
        OptionError: an option that is unknown, out of range, or contradicts another.
        InputTypeError: ``generation_config`` is something else.
    """
    if not isinstance(generation_config, (GenerationConfig, NoneType)):
        raise InputTypeError(
            f"generation_config is a {type(generation_config).__name__}; pass a GenerationConfig of headway.runtime."
        )
    for name, value in options.items():
        check_option(name, value, model_defaults.extra)
    config = GenerationConfig() if generation_config is None else generation_config.copy()
    own = config.to_diff_dict() | {name: value for name, value in options.items() if value is not None}
    _fill_unset(config, model_defaults.to_diff_dict())
    _fill_unset(config, GLOBAL_DEFAULTS)
    config.update(**options)
    config.explicit = frozenset(own)
    _check_values(config)
    _check_combinations(config)
    _warn_about_idle_options(config)
    return config


def resolve_lengths(
    config: GenerationConfig, prompt_length: int, *, context_length: int | None = None
) -> GenerationConfig:
    """Config with ``max_length`` and ``min_length`` in tokens, the prompt included.

    Args:
        config: of :func:`resolve_config`.
        prompt_length: tokens of the longest prompt of the batch; of the decoder's prompt for encoder-decoders.
        context_length: the most positions that the model has, or None where it has no limit.

    Raises:
        InputTooLongError: the prompt, or the prompt and what the caller asked for, is over the model's limit.
        OptionError: the prompt already fills max_length, or the least length is over the most.
    """
    resolved = config.copy()
    resolved.explicit = config.explicit
    resolved.max_length = _max_length(config, prompt_length, context_length)
    if config.min_new_tokens is not None:
        resolved.min_length = prompt_length + config.min_new_tokens
    _check_least_length(resolved)
    return resolved


def _fill_unset(config: GenerationConfig, defaults: Mapping[str, Any]) -> None:
    for name, value in defaults.items():
        if name not in OPTIONS:
            config.extra.setdefault(name, value)
        elif getattr(config, name) is None:
            object.__setattr__(config, name, value)


def _check_values(config: GenerationConfig) -> None:
    for name in OPTIONS:
        check_option(name, getattr(config, name))
    for name, refusal in REFUSED.items():
        value = config.extra.get(name)
        if refusal.changes_tokens and value not in refusal.neutral:
            raise OptionError(
                f"The model's generation_config.json sets {name}={value!r}, which is not available: {refusal.reason}. "
                f"Pass {name}=None to generate without it."
            )


def _check_combinations(config: GenerationConfig) -> None:
    num_beams, num_return_sequences = config.num_beams or 1, config.num_return_sequences or 1
    if config.do_sample and config.temperature == 0:
        raise OptionError("temperature=0 cannot be sampled; for the most likely tokens use do_sample=False.")
    if num_beams > 1 and num_return_sequences > num_beams:
        raise OptionError(
            f"num_return_sequences={num_return_sequences} is over num_beams={num_beams}; a beam search returns at most "
            "its beams. Raise num_beams or return fewer."
        )
    if num_beams == 1 and num_return_sequences > 1 and not config.do_sample:
        raise OptionError(
            f"num_return_sequences={num_return_sequences} with greedy search would repeat one sequence; "
            "use do_sample=True or num_beams."
        )
    _check_prompt_lookup(config, num_beams, num_return_sequences)
    _check_forced_tokens(config)


def _check_prompt_lookup(config: GenerationConfig, num_beams: int, num_return_sequences: int) -> None:
    if config.prompt_lookup_num_tokens is None:
        return
    if num_beams > 1 or num_return_sequences > 1:
        raise OptionError(
            f"prompt_lookup_num_tokens={config.prompt_lookup_num_tokens} works with one sequence per prompt; got "
            f"num_beams={num_beams}, num_return_sequences={num_return_sequences}. Leave it out or use 1."
        )
    if config.use_cache is False:
        raise OptionError("prompt_lookup_num_tokens needs the cache that use_cache=False turns off.")


def _check_forced_tokens(config: GenerationConfig) -> None:
    suppressed = set(config.suppress_tokens or ())
    for name in ("forced_bos_token_id", "forced_eos_token_id"):
        value = getattr(config, name)
        forced = set(value if isinstance(value, Iterable) else () if value is None else (value,))
        if forced and forced <= suppressed:
            raise OptionError(
                f"{name}={value!r} is also in suppress_tokens, which leaves no token at all; drop it from one of them."
            )


def _warn_about_idle_options(config: GenerationConfig) -> None:
    tables = (
        (SAMPLING_ONLY, not config.do_sample, "do_sample=True"),
        (BEAMS_ONLY, (config.num_beams or 1) == 1, "num_beams over 1"),
    )
    for table, is_idle, condition in tables:
        for name in sorted(config.explicit & table.keys()) if is_idle else ():
            if getattr(config, name) not in table[name]:
                logger.warning("%s=%r has no effect without %s.", name, getattr(config, name), condition)
    for name in ("output_scores", "output_logits"):
        if name in config.explicit and getattr(config, name) and not config.return_dict_in_generate:
            logger.warning("%s=True has no effect without return_dict_in_generate=True.", name)


def _max_length(config: GenerationConfig, prompt_length: int, context_length: int | None) -> int:
    if context_length is not None and prompt_length >= context_length:
        raise InputTooLongError(
            f"The prompt has {prompt_length} tokens; the model takes {context_length}, the answer included. Shorten it."
        )
    if config.max_new_tokens is not None:
        if "max_length" in config.explicit:
            logger.warning("max_new_tokens=%d overrides max_length=%s.", config.max_new_tokens, config.max_length)
        max_length, name = prompt_length + config.max_new_tokens, "max_new_tokens"
    elif config.max_length is not None:
        max_length, name = config.max_length, "max_length"
    else:
        max_length, name = prompt_length + _DEFAULT_NEW_TOKENS, "max_length"
    if max_length <= prompt_length:
        raise OptionError(
            f"max_length={max_length} counts the prompt, which already has {prompt_length} tokens; "
            "raise it, or set max_new_tokens, which does not count the prompt."
        )
    if context_length is None or max_length <= context_length:
        return max_length
    if name in config.explicit:
        raise InputTooLongError(
            f"The prompt's {prompt_length} tokens and {name}={getattr(config, name)} need {max_length} positions; the "
            f"model has {context_length}. Shorten the prompt or ask for {context_length - prompt_length} new tokens."
        )
    return context_length


def _check_least_length(config: GenerationConfig) -> None:
    least, most = config.min_length or 0, config.max_length
    if most is None or least <= most:
        return
    least_name = "min_length" if config.min_new_tokens is None else "min_new_tokens"
    most_name = "max_length" if config.max_new_tokens is None else "max_new_tokens"
    message = (
        f"{least_name}={getattr(config, least_name)} asks for at least {least} tokens with the prompt, and "
        f"{most_name}={getattr(config, most_name)} for at most {most}."
    )
    if {least_name, most_name} <= config.explicit:
        raise OptionError(f"{message} Lower {least_name} or raise {most_name}.")
    logger.warning("%s Generation stops at %d tokens.", message, most)
