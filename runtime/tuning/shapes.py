"""The shapes that are measured, ``8x128``, and arrays of these shapes for any graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import Artifact, TensorSpec
from ..errors import HeadwayError, OptionError
from ..safe_paths import read_optional_json
from ..tokenization.tokenizer import AutoTokenizer
from .texts import PASSAGE

_PATTERN = re.compile(r"([0-9]{1,6})(?:x([0-9]{1,7}))?")
_SEED = 20261122
# Axes of images and audio that are free, where the checkpoint says nothing: usual sizes.
_USUAL_SIZES: Mapping[str, int] = {"num_choices": 2, "height": 224, "width": 224, "num_frames": 3000}
_SIZE_KEYS = {"height": ("size", "crop_size"), "width": ("size", "crop_size")}


@dataclass(frozen=True)
class Shape:
    """Rows, and tokens of each; 1 token where a model takes no sequence.

    Args:
        rows: the batch.
        length: tokens of each row, special tokens counted; for audio samples or frames.
    """

    rows: int
    length: int | None = None

    def __str__(self) -> str:
        return str(self.rows) if self.length is None else f"{self.rows}x{self.length}"

    @property
    def num_tokens(self) -> int:
        """Padded tokens of the batch."""
        return self.rows * (self.length or 1)


DEFAULT_TEXT_SHAPES = (Shape(1, 16), Shape(1, 128), Shape(8, 128))
DEFAULT_DECODER_SHAPES = (Shape(1, 128),)
DEFAULT_OTHER_SHAPES = (Shape(1), Shape(4))


def parse_shape(text: str) -> Shape:
    """A shape from its text.

    Raises:
        OptionError: it is none.

    >>> parse_shape("8x128")
    Shape(rows=8, length=128)
    """
    match = _PATTERN.fullmatch(text.strip().lower())
    if not match or not int(match[1]) or (match[2] is not None and not int(match[2])):
        raise OptionError(f"{text!r} is no shape; rows x tokens are needed, such as 1x16 or 8x128.")
    return Shape(int(match[1]), None if match[2] is None else int(match[2]))


def require_lengths(shapes: Sequence[Shape], max_length: int | None) -> None:
    """Check that texts of these shapes have a length, and one that the model takes.

    Raises:
        OptionError: a shape has none, or is too long.
    """
    for shape in shapes:
        if shape.length is None:
            raise OptionError(f"--shape {shape} says no length; rows x tokens are needed, such as {shape}x128.")
        if max_length is not None and shape.length > max_length:
            raise OptionError(f"--shape {shape} is too long: the model takes {max_length} tokens.")


def token_rows(artifact: Artifact, shape: Shape, text: str | None = None) -> NDArray[np.int64]:
    """(rows, length) ids of real text: each row begins at another sentence and is full.

    Args:
        artifact: whose tokenizer is taken; without one the ids are random.
        text: lines of text; None takes a built-in passage.
    """
    length = shape.length or 1
    try:
        tokenizer = AutoTokenizer.from_pretrained(artifact.folder)
    except HeadwayError:
        vocab_size = int(artifact.config.get("vocab_size") or 100)
        return np.random.default_rng(_SEED).integers(0, vocab_size, (shape.rows, length))
    lines = [line.strip() for line in (text or PASSAGE).splitlines() if line.strip()] or PASSAGE.splitlines()
    rows = []
    for row in range(shape.rows):
        start = row % len(lines)
        words = " ".join(islice(cycle(lines[start:] + lines[:start]), len(lines)))
        # A word is a token at least, in any vocabulary: repeated this often the text is long enough.
        repeats = 1 + 2 * length // max(1, len(words.split()))
        ids = tokenizer(" ".join([words] * repeats), truncation=True, max_length=length, verbose=False)["input_ids"]
        rows.append((list(ids) * length)[:length])
    return np.array(rows, dtype=np.int64)


def array_feeds(specs: Sequence[TensorSpec], shape: Shape, artifact: Artifact) -> dict[str, Any]:
    """Random arrays for a graph whose input is no text: its fixed axes as they are, the free ones of usual sizes."""
    random = np.random.default_rng(_SEED)
    sizes = {**_USUAL_SIZES, **_image_sizes(artifact.folder)}
    feeds = {}
    for spec in specs:
        axes = [_axis_size(axis, index, shape, sizes) for index, axis in enumerate(spec.shape)]
        feeds[spec.name] = _RANDOM[np.dtype(spec.dtype).kind](random, axes).astype(spec.dtype)
    return feeds


_RANDOM: Mapping[str, Callable[[np.random.Generator, list[int]], NDArray[Any]]] = {
    "f": lambda random, axes: random.standard_normal(axes),
    # Masks and types; ids of texts come from token_rows.
    "i": lambda random, axes: np.ones(axes),
    "u": lambda random, axes: np.ones(axes),
    "b": lambda random, axes: np.ones(axes),
}


def _axis_size(axis: str | int, index: int, shape: Shape, sizes: Mapping[str, int]) -> int:
    if isinstance(axis, int):
        return axis
    if index == 0:
        return shape.rows
    if shape.length is not None and axis not in sizes:
        return shape.length
    return sizes.get(axis, shape.length or 16_000)


def _image_sizes(folder: Path) -> dict[str, int]:
    """Height and width that the checkpoint's processor makes of every image."""
    try:
        settings = read_optional_json(folder / "preprocessor_config.json") or {}
    except HeadwayError:
        return {}
    found = {}
    for axis, keys in _SIZE_KEYS.items():
        for size in filter(None, map(settings.get, keys)):
            value = size.get(axis, size.get("shortest_edge")) if isinstance(size, Mapping) else size
            if isinstance(value, int):
                found[axis] = value
    return found
