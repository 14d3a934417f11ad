"""Labels to choose among and the sentence they go into, as the zero-shot pipelines take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import OptionError
from .inputs import describe, require_text, require_texts

Labels = str | Sequence[str]


def parse_labels(labels: Any) -> list[str]:
    """Labels from a list, or from a text where commas separate them.

    Raises:
        OptionError: there are none.
        InputTypeError: they are no texts.
    """
    if labels is None:
        raise OptionError("candidate_labels is missing; give the labels to choose from, such as ['sport', 'politics'].")
    if isinstance(labels, str):
        parsed = [label.strip() for label in labels.split(",") if label.strip()]
    else:
        parsed = require_texts(labels, "candidate_labels")
    if not parsed:
        raise OptionError(f"candidate_labels is {describe(labels)}; at least one label is needed.")
    return parsed


def require_template(template: Any) -> None:
    """Check a text with ``{}`` where a label goes.

    Raises:
        InputTypeError: it is no text.
        OptionError: it has no place for a label.
    """
    text = require_text(template, "hypothesis_template")
    try:
        is_usable = text.format("label") != text
    except (IndexError, KeyError, ValueError):
        is_usable = False
    if not is_usable:
        raise OptionError(f"hypothesis_template is {text!r}; it needs one {{}} where a label goes.")
