"""Sizes as preprocessor_config.json writes them, and the height and width that each asks of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..errors import InputError, OptionError

Pixels = tuple[int, int]
"""Height and width."""

# Source: VALID_SIZE_DICT_KEYS of transformers 5.23.
_KEY_SETS: Sequence[frozenset[str]] = (
    frozenset({"height", "width"}),
    frozenset({"shortest_edge"}),
    frozenset({"shortest_edge", "longest_edge"}),
    frozenset({"longest_edge"}),
    frozenset({"max_height", "max_width"}),
)
_ALLOWED = "a number, {height, width}, {shortest_edge}, {shortest_edge, longest_edge} or {max_height, max_width}"


@dataclass(frozen=True)
class Size:
    """A size in pixels: exact, by an edge, or by limits. What does not apply is None."""

    height: int | None = None
    width: int | None = None
    shortest_edge: int | None = None
    longest_edge: int | None = None
    max_height: int | None = None
    max_width: int | None = None

    def __str__(self) -> str:
        return f"{{{', '.join(f'{key}: {value}' for key, value in self.to_dict().items())}}}"

    def to_dict(self) -> dict[str, int]:
        """The values that apply."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {key: value for key, value in values.items() if value is not None}

    def exact(self, name: str) -> Pixels:
        """Height and width.

        Raises:
            OptionError: the size is of another kind.
        """
        if self.height is None or self.width is None:
            raise OptionError(f"{name} is {self}; {{height, width}} is needed.")
        return self.height, self.width

    def shortest(self, name: str) -> int:
        """The shortest edge.

        Raises:
            OptionError: the size is of another kind.
        """
        if self.shortest_edge is None:
            raise OptionError(f"{name} is {self}; {{shortest_edge}} is needed.")
        return self.shortest_edge


def parse_size(value: Any, name: str, *, to_square: bool = True) -> Size:
    """A size as transformers reads it: a number, (height, width), or a dict.

    Args:
        value: the value of the option.
        name: the option's name, for messages.
        to_square: whether a number is a square's side; otherwise it is the shortest edge.

    Raises:
        OptionError: it is nothing of these, or a number below one.
    """
    if isinstance(value, Size):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"height": value, "width": value} if to_square else {"shortest_edge": value}
    elif isinstance(value, list | tuple) and len(value) == 2:
        value = {"height": value[0], "width": value[1]}
    if not isinstance(value, Mapping):
        raise OptionError(f"{name} is {value!r}; {_ALLOWED} is needed.")
    given = {key: edge for key, edge in value.items() if edge is not None}
    if frozenset(given) not in _KEY_SETS:
        raise OptionError(f"{name} has the keys {', '.join(map(str, given)) or 'none'}; {_ALLOWED} is needed.")
    for key, edge in given.items():
        if isinstance(edge, bool) or not isinstance(edge, int) or edge < 1:
            raise OptionError(f"{name} has {key} {edge!r}; a whole number of at least 1 is needed.")
    return Size(**given)


def target_pixels(height: int, width: int, size: Size) -> Pixels:
    """Height and width that an image is resized to.

    Source: ``PilBackend.resize`` of transformers 5.23.
    """
    if size.shortest_edge is not None and size.longest_edge is not None:
        return within_edges(height, width, size.shortest_edge, size.longest_edge)
    if size.shortest_edge is not None:
        return by_shortest_edge(height, width, size.shortest_edge)
    if size.max_height is not None and size.max_width is not None:
        scale = min(size.max_height / height, size.max_width / width)
        return int(height * scale), int(width * scale)
    if size.height is not None and size.width is not None:
        return size.height, size.width
    raise OptionError(f"size is {size}, which does not say how to resize; {_ALLOWED} is needed.")


def by_shortest_edge(height: int, width: int, edge: int) -> Pixels:
    """Height and width with the shorter one ``edge`` and the proportions kept.

    Source: ``get_resize_output_image_size`` of transformers 5.23.
    """
    short, long = min(height, width), max(height, width)
    longer = int(edge * long / short)
    return (longer, edge) if width <= height else (edge, longer)


def within_edges(height: int, width: int, shortest: int, longest: int) -> Pixels:
    """Height and width with the shorter one ``shortest``, less where the longer one would be over ``longest``.

    Source: ``get_size_with_aspect_ratio`` of transformers 5.23.
    """
    short, long = float(min(height, width)), float(max(height, width))
    edge, exact = shortest, float(shortest)
    if long / short * shortest > longest:
        exact = longest * short / long
        edge = round(exact)
    if min(height, width) == edge:
        return height, width
    if width < height:
        return int(exact * height / width), edge
    return edge, int(exact * width / height)


def require_pixels(height: int, width: int, limit: int) -> None:
    """Check a size before memory is spent on it.

    Raises:
        InputError: an edge vanishes, or there are more than ``limit`` pixels.
    """
    if height < 1 or width < 1:
        raise InputError(f"The image would be {height} × {width} pixels; it is too narrow for this model's size.")
    if height * width > limit:
        raise InputError(
            f"The image would be {height} × {width} pixels, over the limit of {limit}; it is too long and "
            "narrow, or the size too large."
        )
