"""Tokenizers and processors that belong to a model, from wherever the caller has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, cast

from ..errors import InputTypeError
from ..models import Model

Part = TypeVar("Part")


def loaded_part(name: str, given: str | Path | Part | None, kind: type[Any], loader: Any, model: Model) -> Part:
    """The part itself, the one of a folder or hub id, or for None the model's own.

    Args:
        name: the argument that it was given as.
        given: what the caller gave.
        kind: what a loaded one is.
        loader: with ``from_pretrained``.
        model: whose part it is.

    Raises:
        InputTypeError: it is nothing of these.
    """
    if isinstance(given, kind):
        return cast(Part, given)
    if given is not None and not isinstance(given, str | Path):
        article = "an" if kind.__name__.startswith("I") else "a"
        raise InputTypeError(
            f"{name} is a {type(given).__name__}; a folder, a hub id or {article} {kind.__name__} is needed."
        )
    return cast(Part, loader.from_pretrained(model.artifact.folder if given is None else given))
