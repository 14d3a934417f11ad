"""Lines of a file to items of a pipeline, and results to lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError
from .line_reader import MAX_LINE_BYTES, Line

_BYTE_ORDER_MARK = "\ufeff"


def text_item(line: Line) -> str:
    """A line of plain text as an item.

    Raises:
        InputError: it is too long, or not UTF-8.
    """
    if not line.is_whole:
        raise InputError(f"line {line.number} is longer than {MAX_LINE_BYTES >> 20} MiB. Is this a text file?")
    try:
        text = line.content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"line {line.number} is not UTF-8 ({error.reason} at byte {error.start}).") from error
    return text.removeprefix(_BYTE_ORDER_MARK) if line.number == 1 else text


def json_item(line: Line) -> str | dict[str, Any]:
    """A line of JSON as an item: a text, or an object with the keys that the task takes.

    Raises:
        InputError: it is no JSON.
        InputTypeError: it holds something else.
    """
    text = text_item(line)
    try:
        item = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"line {line.number} is not JSON: {error}.") from error
    if not isinstance(item, str | dict):
        kind = "null" if item is None else f"a JSON {type(item).__name__}"
        raise InputTypeError(f'line {line.number} is {kind}; a text or an object such as {{"text": "…"}} is needed.')
    return item


ITEM_READERS: Mapping[str, Callable[[Line], Any]] = {"txt": text_item, "jsonl": json_item}
"""Format of the input → what makes an item of a line."""


def to_json(value: Any, indent: int | None = None, default: Callable[[Any], Any] | None = None) -> str:
    """JSON text of a result; arrays become lists, float32 numbers keep the nine digits that tell them apart.

    Args:
        indent: spaces of each level; None writes one line.
        default: what makes JSON of other objects; None refuses them.

    Raises:
        InputTypeError: an object that is no JSON, and there is no ``default``.
    """
    return json.dumps(value, ensure_ascii=False, indent=indent, default=default or _plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        return _shortened(value.tolist()) if value.dtype in (np.float32, np.float16) else value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise InputTypeError(f"A result of type {type(value).__name__} cannot be written as JSON.")


def _shortened(values: Any) -> Any:
    return [_shortened(value) for value in values] if isinstance(values, list) else float(f"{values:.9g}")
