"""Dataclasses from JSON, with every value's type checked: what came from disk is not to be trusted."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

Record = TypeVar("Record")


class JsonTypeError(ValueError):
    """A value has another type than its field declares; the message names the field's place."""


def record_from_json(record_type: type[Record], value: Any, where: str = "") -> Record:
    """Build a dataclass from its JSON form.

    Names that the dataclass does not know are ignored: a later minor version may have written them.

    Args:
        record_type: a dataclass whose fields are str, int, float, bool, Any, other such dataclasses, unions of these,
            ``tuple[X, ...]`` and ``Mapping[str, X]``.
        where: place of ``value`` in the file, for messages.

    Raises:
        JsonTypeError: a field is missing or has another type than declared.

    >>> @dataclasses.dataclass
    ... class Size:
    ...     bytes: int
    >>> record_from_json(Size, {"bytes": 3})
    Size(bytes=3)
    """
    fields = _typed(value, Mapping, where)
    arguments = {}
    hashable: Any = record_type
    for field, hint in _declared_fields(hashable):
        place = f"{where}.{field.name}" if where else field.name
        if field.name in fields:
            arguments[field.name] = _convert(hint, fields[field.name], place)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise JsonTypeError(f"{place} is missing")
    return record_type(**arguments)


@lru_cache(maxsize=64)
def _declared_fields(record_type: Any) -> tuple[tuple[dataclasses.Field[Any], Any], ...]:
    hints = typing.get_type_hints(record_type)
    return tuple((field, hints[field.name]) for field in dataclasses.fields(record_type))


def _convert(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return record_from_json(hint, value, where)
    converter = _CONVERTERS.get(typing.get_origin(hint))
    return converter(hint, value, where) if converter else _typed(value, hint, where)


def _convert_union(hint: Any, value: Any, where: str) -> Any:
    for choice in typing.get_args(hint):
        try:
            return _convert(choice, value, where)
        except JsonTypeError:
            continue
    allowed = " or ".join(_type_name(choice) for choice in typing.get_args(hint))
    raise JsonTypeError(f"{where} is {_shown(value)}; {allowed} was expected")


def _convert_tuple(hint: Any, value: Any, where: str) -> Any:
    item_hint = typing.get_args(hint)[0]
    items = _typed(value, list, where)
    return tuple(_convert(item_hint, item, f"{where}[{index}]") for index, item in enumerate(items))


def _convert_mapping(hint: Any, value: Any, where: str) -> Any:
    _, item_hint = typing.get_args(hint)
    return {key: _convert(item_hint, item, f"{where}.{key}") for key, item in _typed(value, Mapping, where).items()}


_CONVERTERS: Mapping[Any, Callable[[Any, Any, str], Any]] = {
    typing.Union: _convert_union,
    types.UnionType: _convert_union,
    tuple: _convert_tuple,
    Mapping: _convert_mapping,
}

_TYPE_NAMES: Mapping[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    Mapping: "an object",
    type(None): "null",
}


def _typed(value: Any, expected: Any, where: str) -> Any:
    # JSON's true is Python's True, which is an int; JSON's 1 is a valid number where a float is declared.
    allowed = (int, float) if expected is float else expected
    if isinstance(value, allowed) and not (isinstance(value, bool) and expected is not bool):
        return value
    raise JsonTypeError(f"{where or 'it'} is {_shown(value)}; {_type_name(expected)} was expected")


def _type_name(hint: Any) -> str:
    return _TYPE_NAMES.get(hint) or _TYPE_NAMES.get(typing.get_origin(hint)) or "an object"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
