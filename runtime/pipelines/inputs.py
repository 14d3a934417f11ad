"""Items of a pipeline checked one by one, with messages that name the item and what it should have been."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..errors import InputError, InputTypeError
from .encode import NameOf, Text

_MAX_SHOWN = 40


def describe(value: Any) -> str:
    """A value and its type, short enough for a message."""
    if value is None:
        return "None"
    written = repr(value)
    if len(written) > _MAX_SHOWN:
        written = f"{written[: _MAX_SHOWN - 1]}…"
    return f"{written} ({type(value).__name__})"


def require_text(value: Any, name: str) -> str:
    """``value``, if it is a str.

    Raises:
        InputTypeError: it is not.
    """
    if not isinstance(value, str):
        raise InputTypeError(f"{name} is {describe(value)}; a text (str) is needed.")
    return value


def require_texts(values: Any, name: str) -> list[str]:
    """``values`` as a list of texts, if it is a list or tuple of str.

    Raises:
        InputTypeError: it is not.
    """
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise InputTypeError(f"{name} is {describe(values)}; a list of texts is needed.")
    return [require_text(value, f"{name}[{index}]") for index, value in enumerate(values)]


def plain_texts(items: Sequence[Any], name_of: NameOf) -> list[str]:
    """Items that must be texts, or ``{"text": …}`` as read from JSON lines."""
    return [item if type(item) is str else _plain_text(item, name_of(i)) for i, item in enumerate(items)]


def texts_and_pairs(items: Sequence[Any], name_of: NameOf) -> list[Text]:
    """Items that may be texts or pairs: ``{"text": …, "text_pair": …}`` or a tuple of two texts."""
    return [item if type(item) is str else _text_or_pair(item, name_of(i)) for i, item in enumerate(items)]


def is_pair(value: Any) -> bool:
    """Whether a value is a tuple of two texts."""
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, str) for part in value)


def require_keys(item: Any, required: Iterable[str], optional: Iterable[str], name: str) -> Mapping[str, Any]:
    """``item``, if it is a dict with these keys.

    Raises:
        InputTypeError: it is no dict.
        InputError: a key is missing or unknown.
    """
    wanted = ", ".join(map(repr, required))
    if not isinstance(item, Mapping):
        raise InputTypeError(f"{name} is {describe(item)}; a dict with {wanted} is needed.")
    missing = [key for key in required if key not in item]
    if missing:
        raise InputError(f"{name} lacks {', '.join(map(repr, missing))}; a dict with {wanted} is needed.")
    unknown = [key for key in item if key not in (*required, *optional)]
    if unknown:
        allowed = ", ".join(map(repr, (*required, *optional)))
        raise InputError(f"{name} has the unknown key {', '.join(map(repr, unknown))}; allowed are {allowed}.")
    return item


def by_index(name_of: NameOf, owners: Sequence[int]) -> Callable[[int], str]:
    """Name of the item that a row belongs to, where items become several rows."""
    return lambda row: name_of(owners[row])


def _plain_text(item: Any, name: str) -> str:
    if isinstance(item, dict):
        return require_text(require_keys(item, ("text",), (), name)["text"], f"{name}['text']")
    return require_text(item, name)


def _text_or_pair(item: Any, name: str) -> Text:
    # A list holding one list of two is how transformers 3 took a pair.
    if isinstance(item, list) and len(item) == 1 and isinstance(item[0], list | tuple) and len(item[0]) == 2:
        item = tuple(item[0])
    if isinstance(item, tuple) and len(item) == 2:
        return _pair(require_text(item[0], f"{name}[0]"), require_text(item[1], f"{name}[1]"))
    if isinstance(item, dict):
        keys = require_keys(item, ("text",), ("text_pair",), name)
        text = require_text(keys["text"], f"{name}['text']")
        second = keys.get("text_pair")
        return text if second is None else _pair(text, require_text(second, f"{name}['text_pair']"))
    if isinstance(item, list):
        raise InputTypeError(
            f"{name} is {describe(item)}; for a pair of texts pass {{'text': …, 'text_pair': …}} or a tuple of two."
        )
    if not isinstance(item, str):
        raise InputTypeError(
            f"{name} is {describe(item)}; a text (str) or a pair {{'text': …, 'text_pair': …}} is needed."
        )
    return item


def _pair(text: str, text_pair: str) -> Text:
    # As in transformers, an empty second text makes no pair.
    return (text, text_pair) if text_pair else text
