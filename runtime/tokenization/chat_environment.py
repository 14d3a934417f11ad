"""The Jinja sandbox that chat templates run in."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import InputError

if TYPE_CHECKING:
    import jinja2


class _Tracker:
    """Where in the text rendered so far the ``{% generation %}`` blocks stand."""

    def __init__(self) -> None:
        self.num_characters = 0
        self.spans: list[tuple[int, int]] = []


_tracker: ContextVar[_Tracker | None] = ContextVar("headway_generation_tracker", default=None)


@lru_cache(maxsize=64)
def compile_template(source: str) -> jinja2.Template:
    """Compile a chat template in the sandbox.

    Raises:
        InputError: a syntax error, with its line.
    """
    from jinja2 import TemplateSyntaxError

    try:
        return _environment().from_string(source)
    except TemplateSyntaxError as error:
        raise InputError(f"the chat template does not compile: {error.message} (line {error.lineno})") from error


def render_tracking_generation(
    template: jinja2.Template, variables: dict[str, Any]
) -> tuple[str, list[tuple[int, int]]]:
    """Rendered text, and the (start, end) characters of its ``{% generation %}`` blocks.

    Raises:
        InputError: whatever went wrong in the template, with its message.
    """
    tracker = _Tracker()
    token = _tracker.set(tracker)
    blocks = []
    try:
        for block in template.generate(variables):
            blocks.append(block)
            tracker.num_characters += len(block)
    except Exception as error:
        raise InputError(f"the chat template refused the conversation: {error}") from error
    finally:
        _tracker.reset(token)
    return "".join(blocks), tracker.spans


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    """Source: ``_cached_compile_jinja_template`` of transformers 5.23."""
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_generation_extension(), loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    environment.globals["dict"] = _TemplateDict()
    environment.globals["namespace"] = _namespace_class()
    return environment


def _generation_extension() -> Any:
    from jinja2 import nodes
    from jinja2.ext import Extension

    class GenerationBlock(Extension):
        """``{% generation %} … {% endgeneration %}`` around what the assistant wrote."""

        tags = {"generation"}  # noqa: RUF012 (Jinja declares it so)

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_record"), [], [], body).set_lineno(line)

        def _record(self, caller: Callable[[], str]) -> str:
            text = caller()
            tracker = _tracker.get()
            if tracker is not None:
                start = tracker.num_characters
                tracker.spans.append((start, start + len(text)))
            return text

    return GenerationBlock


def _namespace_class() -> Any:
    from jinja2.exceptions import SecurityError
    from jinja2.utils import Namespace

    def check(name: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"a namespace in a chat template cannot hold {name!r}: names may not start with _")

    class TemplateNamespace(Namespace):
        """A namespace without underscore names, which could reach into the interpreter."""

        def __init__(*args: Any, **kwargs: Any) -> None:
            self, positional = args[0], args[1:]
            attributes = dict(*positional, **kwargs)
            for name in attributes:
                check(name)
            Namespace.__init__(self, attributes)

        def __setitem__(self, name: str, value: Any) -> None:
            check(name)
            super().__setitem__(name, value)

    return TemplateNamespace


class _TemplateDict:
    """``dict`` with nothing but its constructor and ``fromkeys``."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


def _raise_exception(message: str) -> NoReturn:
    from jinja2.exceptions import TemplateError

    raise TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Unlike Jinja's own filter, leave HTML characters and Unicode as they are."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)
