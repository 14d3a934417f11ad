"""JSON schema of a Python function, for chat templates that describe tools to a model.

The function needs type hints and a docstring in Google style, as in transformers' ``get_json_schema``.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Callable
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import InputError

_SCALAR_TYPES: dict[type, str] = {
    int: "integer",
    float: "number",
    str: "string",
    bool: "boolean",
    type(None): "null",
}
_PLAIN_TYPES: dict[Any, dict[str, Any]] = {
    **{kind: {"type": name} for kind, name in _SCALAR_TYPES.items()},
    list: {"type": "array"},
    tuple: {"type": "array"},
    dict: {"type": "object"},
    Any: {},
}
# Media classes by name, so that their libraries need not be there.
_MEDIA_TYPES = {"PIL.Image.Image": "image", "torch.Tensor": "audio"}
_UNIONS = (Union, types.UnionType)

_DESCRIPTION = re.compile(r"^(.*?)[\n\s]*(?:Args:|Returns:|Raises:|\Z)", re.DOTALL)
_ARGUMENTS = re.compile(r"\n\s*Args:\n(.*?)[\n\s]*(?:Returns:|Raises:|\Z)", re.DOTALL)
_RETURNS = re.compile(r"\n\s*Returns:\n\s*(.*?)[\n\s]*(?:Raises:|\Z)", re.DOTALL)
# One "name: description", up to the next one that is not indented deeper.
_ARGUMENT = re.compile(
    r"(?:^|\n)([ \t]*)(\w+):\s*(.*?)\s*(?=\n(?!\1[ \t])[ \t]*\w+:|\Z)",
    re.DOTALL,
)
_CHOICES = re.compile(r"\(choices:\s*(.*?)\)\s*$", re.IGNORECASE)


def function_schema(function: Callable[..., Any]) -> dict[str, Any]:
    """Schema of a tool: ``{"type": "function", "function": {"name", "description", "parameters"}}``.

    Raises:
        InputError: no docstring, an argument without type hint or description, or a hint that JSON cannot express.

    Source: ``transformers.utils.get_json_schema`` of transformers 5.23.
    """
    name = getattr(function, "__name__", "operation")
    doc = (inspect.getdoc(function) or "").strip()
    if not doc:
        raise InputError(f"the tool {name} has no docstring: describe it and its arguments in Google style")
    parameters, returned = _parameters(function, name)
    descriptions = _argument_descriptions(doc)
    for argument, schema in parameters["properties"].items():
        if argument not in descriptions:
            raise InputError(f"the docstring of the tool {name} does not describe its argument {argument!r}")
        _describe(schema, descriptions[argument])
    described = {"name": name, "description": _section(_DESCRIPTION, doc), "parameters": parameters}
    if returned is not None:
        returns_text = _section(_RETURNS, doc, strip=False)
        described["return"] = returned if returns_text is None else {**returned, "description": returns_text}
    return {"type": "function", "function": described}


def _parameters(function: Callable[..., Any], name: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Schema of the arguments, and of the returned value (None without a hint that JSON can express)."""
    signature = inspect.signature(function).parameters
    receiver = next(iter(signature), None)
    if receiver not in ("self", "cls") or signature[receiver].annotation is not inspect.Parameter.empty:
        receiver = None
    arguments = {key: value for key, value in signature.items() if key != receiver}
    for argument, parameter in arguments.items():
        if parameter.annotation is inspect.Parameter.empty:
            raise InputError(f"the argument {argument!r} of the tool {name} has no type hint")
    hints = get_type_hints(function)
    hints.pop(receiver or "", None)
    returned = _return_schema(hints.pop("return")) if "return" in hints else None
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {argument: _hint_schema(hint) for argument, hint in hints.items()},
    }
    required = [key for key, value in arguments.items() if value.default is inspect.Parameter.empty]
    return ({**schema, "required": required} if required else schema), returned


def _return_schema(hint: Any) -> dict[str, Any] | None:
    """Models never write the returned value, so a hint that JSON cannot express is left out."""
    try:
        return _hint_schema(hint)
    except InputError:
        return None


def _hint_schema(hint: Any) -> dict[str, Any]:
    origin, args = get_origin(hint), get_args(hint)
    if origin is None and isinstance(hint, type) and issubclass(hint, Enum):
        return _values_schema([member.value for member in hint], f"the Enum {hint.__name__}")
    if origin is None:
        return _plain_schema(hint)
    if origin in _UNIONS:
        return _union_schema(args)
    if origin is Literal:
        return _values_schema(list(args), "typing.Literal")
    if origin in (list, tuple) and not args:
        return {"type": "array"}
    if origin is list:
        return {"type": "array", "items": _hint_schema(args[0])}
    if origin is tuple:
        return _tuple_schema(hint, args)
    if origin is dict:
        values = {"additionalProperties": _hint_schema(args[1])} if len(args) == 2 else {}
        return {"type": "object", **values}
    raise InputError(f"the type hint {hint!r} of a tool has no JSON schema: {_ALLOWED_HINTS}")


_ALLOWED_HINTS = (
    "use int, float, str, bool, Enum classes, typing.Literal, and list, tuple, dict and unions of those, or pass the"
    " tool's schema as a dict instead of the function"
)


def _plain_schema(hint: Any) -> dict[str, Any]:
    media = _MEDIA_TYPES.get(f"{getattr(hint, '__module__', '')}.{getattr(hint, '__qualname__', '')}")
    if media is not None:
        return {"type": media}
    try:
        return dict(_PLAIN_TYPES[hint])
    except (KeyError, TypeError):
        raise InputError(f"the type hint {hint!r} of a tool has no JSON schema: {_ALLOWED_HINTS}") from None


def _values_schema(values: list[Any], source: str) -> dict[str, Any]:
    """Schema that lists its values; their types are named once each, in order of appearance."""
    if not values or any(type(value) not in _SCALAR_TYPES for value in values):
        raise InputError(f"{source} must hold one or more int, float, str, bool or None values, and holds {values}")
    names = list(dict.fromkeys(_SCALAR_TYPES[type(value)] for value in values))
    return {"type": names[0] if len(names) == 1 else names, "enum": values}


def _union_schema(args: tuple[Any, ...]) -> dict[str, Any]:
    schemas = [_hint_schema(arg) for arg in args if arg is not type(None)]
    schema: dict[str, Any]
    if len(schemas) == 1:
        schema = schemas[0]
    elif all(entry.keys() == {"type"} and isinstance(entry["type"], str) for entry in schemas):
        names = sorted({entry["type"] for entry in schemas})
        schema = {"type": names[0] if len(names) == 1 else names}
    else:
        schema = {"anyOf": schemas}
    return {**schema, "nullable": True} if type(None) in args else schema


def _tuple_schema(hint: Any, args: tuple[Any, ...]) -> dict[str, Any]:
    if len(args) == 1 or ... in args:
        raise InputError(f"the type hint {hint!r} of a tool is a tuple of one or of any length: use list[...]")
    return {"type": "array", "prefixItems": [_hint_schema(arg) for arg in args]}


def _argument_descriptions(doc: str) -> dict[str, str]:
    block = _ARGUMENTS.search(doc)
    if block is None:
        return {}
    lines = "\n".join(line for line in block.group(1).split("\n") if line.strip())
    return {name: re.sub(r"\s*\n+\s*", " ", text.strip()) for _, name, text in _ARGUMENT.findall(lines)}


def _describe(schema: dict[str, Any], text: str) -> None:
    """Add the description, with its ending ``(choices: [...])`` as ``enum``."""
    choices = _CHOICES.search(text)
    if choices:
        try:
            values = json.loads(choices.group(1))
        except json.JSONDecodeError as error:
            raise InputError(f"the choices in {text!r} are not a JSON list: {error}") from None
        schema["enum"] = [value.strip() if isinstance(value, str) else value for value in values]
        text = text[: choices.start()].strip()
    schema["description"] = text


def _section(pattern: re.Pattern[str], doc: str, *, strip: bool = True) -> str | None:
    found = pattern.search(doc)
    if found is None:
        return None
    return found.group(1).strip() if strip else found.group(1)
