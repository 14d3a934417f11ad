"""What generate() asks of its arguments before anything runs, so that a mistake is named and nothing is half done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, InputTypeError, OptionError
from .config import GenerationConfig
from .history import TokenIds


def one_input(inputs: Any, input_ids: Any) -> Any:
    """What is to be continued, under either of its names.

    Raises:
        InputError: it was given under both.
        InputTypeError: it is the tokenizer's whole output.
    """
    if inputs is not None and input_ids is not None:
        raise InputError("inputs and input_ids are two names of one argument, and both were given; leave one out.")
    given = inputs if input_ids is None else input_ids
    if isinstance(given, Mapping):
        raise InputTypeError(
            f"The input is a {type(given).__name__} of {', '.join(map(str, given))}; unpack it: generate(**inputs)."
        )
    return given


def token_block(input_ids: ArrayLike | None) -> TokenIds:
    """(batch, sequence) int64.

    Raises:
        InputError: there is none.
        InputTypeError: it is no two-dimensional array of integers.
    """
    if input_ids is None:
        raise InputError("input_ids is missing; it is (batch, sequence) integers.")
    ids = _as_array("input_ids", input_ids)
    if ids.ndim != 2 or not (np.issubdtype(ids.dtype, np.integer) or ids.size == 0):
        raise InputTypeError(f"input_ids is {ids.dtype} {ids.shape}; (batch, sequence) integers are needed.")
    return ids.astype(np.int64, copy=False)


def token_mask(attention_mask: ArrayLike) -> NDArray[np.bool_]:
    """True for a token, False for padding, in the shape that was given.

    Raises:
        InputTypeError: it is no array of numbers.
        InputError: it holds numbers below 0, or nan: a mask to be added to scores means the opposite.
    """
    mask = _as_array("attention_mask", attention_mask)
    if mask.dtype.kind not in "biuf":
        raise InputTypeError(
            f"attention_mask is {mask.dtype} {mask.shape}; 1 for a token and 0 for padding are needed."
        )
    if not (mask >= 0).all():
        raise InputError(
            f"attention_mask holds {mask[~(mask >= 0)][0]}; 1 for a token and 0 for padding are needed, as a tokenizer "
            "gives them."
        )
    is_token: NDArray[np.bool_] = mask != 0
    return is_token


def require_callbacks(
    *,
    logits_processor: Any = None,
    stopping_criteria: Any = None,
    prefix_allowed_tokens_fn: Any = None,
    streamer: Any = None,
) -> None:
    """Refuse what cannot be called.

    Raises:
        InputTypeError: names the argument.
    """
    _require_callables("logits_processor", logits_processor)
    _require_callables("stopping_criteria", stopping_criteria)
    if prefix_allowed_tokens_fn is not None and not callable(prefix_allowed_tokens_fn):
        raise InputTypeError(
            f"prefix_allowed_tokens_fn is a {type(prefix_allowed_tokens_fn).__name__}; pass a function of the prompt's "
            "index and its tokens."
        )
    if streamer is not None and not (hasattr(streamer, "put") and hasattr(streamer, "end")):
        raise InputTypeError(
            f"streamer is a {type(streamer).__name__} without put() and end(); pass a TextStreamer, or an object that "
            "has both."
        )


def require_known_options(config: GenerationConfig, vocab_size: int, num_rows: int) -> None:
    """Refuse tokens of options that the model does not have, where they would be chosen or run.

    Args:
        config: resolved.
        vocab_size: of the model.
        num_rows: sequences that run side by side; of one alone, what follows its end is never run.

    Raises:
        OptionError: names the option.
    """
    names = ["forced_bos_token_id", "forced_eos_token_id", *(["pad_token_id"] if num_rows > 1 else [])]
    for name in names:
        value = getattr(config, name)
        for token in value if isinstance(value, Iterable) else () if value is None else (value,):
            if token >= vocab_size:
                raise OptionError(f"{name}={value!r} is not in the vocabulary, which has 0 to {vocab_size - 1}.")


def _require_callables(name: str, given: Any) -> None:
    if given is None:
        return
    if callable(given) or not isinstance(given, Iterable) or not all(map(callable, given)):
        raise InputTypeError(f"{name} is {given!r:.80}; pass a list of functions, of one as well: {name}=[…].")


def _as_array(name: str, value: Any) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except Exception as error:  # numpy's for ragged lists, or that of another library's tensor on a device
        raise InputTypeError(f"{name} is ragged or no array ({error}). Tokenize with padding=True.") from error
