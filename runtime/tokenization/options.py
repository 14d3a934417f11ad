"""The padding and truncation options of a tokenizer call, checked and made definite."""

from __future__ import annotations

import operator
import warnings
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError

PADDING_STRATEGIES = ("longest", "max_length", "do_not_pad")
TRUNCATION_STRATEGIES = ("longest_first", "only_first", "only_second", "do_not_truncate")
# Limits above this stand for "none": tokenizers are saved with 10**30 when their model has no limit.
LARGEST_REAL_LIMIT = int(1e20)


@dataclass(frozen=True, slots=True)
class LengthOptions:
    """What to do about the length of each text.

    Args:
        padding: one of PADDING_STRATEGIES.
        truncation: one of TRUNCATION_STRATEGIES.
        max_length: tokens to pad or cut to; None where neither happens to a fixed length.
    """

    padding: str
    truncation: str
    max_length: int | None


def resolve_lengths(
    padding: bool | str,
    truncation: bool | str | None,
    max_length: int | None,
    pad_to_multiple_of: int | None,
    model_max_length: int,
    verbose: bool = True,
) -> LengthOptions:
    """Definite options from what the caller gave and the model's limit.

    Source: ``_get_padding_truncation_strategies`` of transformers 5.23.

    Raises:
        OptionError: an unknown strategy, a length that is not a count, or lengths that contradict each other.
    """
    max_length = as_count("max_length", max_length)
    if max_length is not None and padding is False and truncation is None:
        truncation = "longest_first"
    if padding is True and verbose and max_length is not None and truncation in (None, False, "do_not_truncate"):
        warnings.warn(
            "`max_length` is ignored when `padding`=`True` and there is no truncation strategy. "
            "To pad to max length, use `padding='max_length'`.",
            stacklevel=4,
        )
    pad = _padding_strategy(padding)
    cut = _truncation_strategy(truncation)
    if max_length is None:
        if model_max_length > LARGEST_REAL_LIMIT:
            pad = "do_not_pad" if pad == "max_length" else pad
            cut = "do_not_truncate"
        elif pad == "max_length" or cut != "do_not_truncate":
            max_length = model_max_length
    _check_multiple(pad, cut, max_length, pad_to_multiple_of)
    return LengthOptions(pad, cut, max_length)


def as_count(name: str, value: Any) -> int | None:
    """``value`` as an int of at least 0, or None.

    Raises:
        OptionError: it is neither.
    """
    if value is None:
        return None
    try:
        count = operator.index(value)
    except TypeError:
        raise OptionError(f"got {name}={value!r}: it must be an int, or None") from None
    if count < 0:
        raise OptionError(f"got {name}={value!r}: it must be 0 or more")
    return count


def _padding_strategy(padding: Any) -> str:
    if padding is False:
        return "do_not_pad"
    if padding is True:
        return "longest"
    if isinstance(padding, str) and padding in PADDING_STRATEGIES:
        return PADDING_STRATEGIES[PADDING_STRATEGIES.index(padding)]
    raise OptionError(f"got padding={padding!r}: it must be True, False, {_listed(PADDING_STRATEGIES)}")


def _truncation_strategy(truncation: Any) -> str:
    if truncation is None or truncation is False:
        return "do_not_truncate"
    if truncation is True:
        return "longest_first"
    if isinstance(truncation, str) and truncation in TRUNCATION_STRATEGIES:
        return TRUNCATION_STRATEGIES[TRUNCATION_STRATEGIES.index(truncation)]
    raise OptionError(f"got truncation={truncation!r}: it must be True, False, {_listed(TRUNCATION_STRATEGIES)}")


def _check_multiple(padding: str, truncation: str, max_length: int | None, multiple: int | None) -> None:
    if padding == "do_not_pad" or truncation == "do_not_truncate" or not multiple or max_length is None:
        return
    if max_length % multiple:
        raise OptionError(
            f"got max_length={max_length} and pad_to_multiple_of={multiple}: with both truncation and padding on,"
            " max_length must be a multiple of pad_to_multiple_of"
        )


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(map(repr, names[:-1]))} or {names[-1]!r}"
