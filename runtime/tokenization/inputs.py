"""Check the texts of a tokenizer call, and explain what is wrong with texts that the Rust tokenizer refused."""

from __future__ import annotations

import re
from typing import Any

from ..errors import HeadwayError, InputError, InputTooLongError, InputTypeError, OptionError

_SURROGATE = re.compile("[\ud800-\udfff]")
_ACCEPTED = (
    "a text (str), a list of texts, a list of pairs of texts, or with is_split_into_words=True a list of words or a"
    " list of such lists"
)


def is_batch(text: Any, text_pair: Any, is_split_into_words: bool) -> bool:
    """Whether ``text`` is several texts; also checks that ``text_pair`` goes with it.

    Raises:
        InputTypeError: not text.
        InputError: an empty list of texts, or lists of different lengths.
    """
    if isinstance(text, str):
        if is_split_into_words:
            raise InputTypeError(
                f"got the text {_short(text)} with is_split_into_words=True: pass its words as a list, or leave"
                " is_split_into_words out"
            )
        return False
    if not isinstance(text, list | tuple):
        raise InputTypeError(f"got {_short(text)} as text: it must be {_ACCEPTED}")
    if is_split_into_words and not (text and isinstance(text[0], list | tuple)):
        return False
    if not text:
        raise InputError("got an empty list of texts: pass at least one text (the empty text '' is one)")
    if text_pair is None:
        return True
    if not isinstance(text_pair, list | tuple):
        raise InputTypeError(
            f"got {len(text)} texts and {_short(text_pair)} as text_pair: pass a list with one second text per text"
        )
    if len(text) != len(text_pair):
        raise InputError(f"got {len(text)} texts and {len(text_pair)} second texts: pass one second text per text")
    return True


def explain_refusal(error: BaseException, texts: list[Any], is_split_into_words: bool) -> HeadwayError:
    """The error to raise for an exception of the Rust tokenizer.

    Args:
        error: what ``tokenizers`` raised.
        texts: the batch it was given.
        is_split_into_words: whether each text is a list of words.
    """
    message = str(error)
    if "Second sequence not provided" in message:
        return OptionError("got truncation='only_second' for a text without text_pair: use truncation=True")
    if "too short to respect" in message:
        return InputTooLongError(
            "the text that truncation may cut is too short to bring the pair down to max_length: use"
            " truncation='longest_first', which cuts both, or raise max_length"
        )
    if "stride" in message:
        return OptionError(f"stride is too large for max_length: {message}. Lower stride or raise max_length")
    for index, text in enumerate(texts):
        where = f"text {index}" if len(texts) > 1 else "the text"
        problem = _problem_of(text, is_split_into_words, where)
        if problem is not None:
            return problem
    return InputError(f"the tokenizer refused the text: {message}")


def _problem_of(text: Any, is_split_into_words: bool, where: str) -> HeadwayError | None:
    """What is wrong with one text, or one pair; None when nothing is."""
    if is_split_into_words:
        pair = isinstance(text, tuple) and len(text) == 2 and all(isinstance(part, list | tuple) for part in text)
        parts = text if pair else (text,)
        for part in parts:
            if not isinstance(part, list | tuple):
                return InputTypeError(f"{where} is {_short(part)}: with is_split_into_words=True it must be words")
        words = [word for part in parts for word in part]
        return _first_bad_string(words, where, "word")
    if isinstance(text, list | tuple):
        if len(text) != 2:
            return InputTypeError(
                f"{where} is {_short(text)}, a list of {len(text)}: a pair has two texts; for words pass"
                " is_split_into_words=True"
            )
        return _first_bad_string(list(text), where, "part")
    return _string_problem(text, where)


def _first_bad_string(strings: list[Any], where: str, unit: str) -> HeadwayError | None:
    for index, string in enumerate(strings):
        problem = _string_problem(string, f"{unit} {index} of {where}")
        if problem is not None:
            return problem
    return None


def _string_problem(string: Any, where: str) -> HeadwayError | None:
    if not isinstance(string, str):
        return InputTypeError(f"{where} is {_short(string)}: it must be a str")
    surrogate = _SURROGATE.search(string)
    if surrogate is None:
        return None
    return InputError(
        f"{where} has the lone surrogate U+{ord(surrogate.group()):04X} at character {surrogate.start()}, which is no"
        " Unicode text: remove it, or decode the source with errors='replace'"
    )


def _short(value: Any) -> str:
    written = repr(value)
    written = written if len(written) <= 40 else f"{written[:37]}..."
    return f"{written} ({type(value).__name__})"
