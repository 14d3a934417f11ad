"""Tokenizer options that transformers' pipelines take in a dict of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from ..errors import OptionError
from .options import PipelineOptions

Options = TypeVar("Options", bound=PipelineOptions)

_KNOWN = ("truncation", "max_length", "padding")


def with_tokenizer_options(options: Options, given: Mapping[str, Any] | None, name: str) -> Options:
    """``options`` with what the dict ``given`` says.

    Raises:
        OptionError: an option that pipelines do not take, or one given twice.
    """
    if not given:
        return options
    unknown = [option for option in given if option not in _KNOWN]
    if unknown:
        raise OptionError(f"{name} has no option {', '.join(map(repr, unknown))}; it takes {', '.join(_KNOWN)}.")
    twice = [option for option in given if getattr(options, option) is not None]
    if twice:
        raise OptionError(f"{', '.join(twice)} is given twice, as an option and in {name}; give it once.")
    return replace(options, **given)
