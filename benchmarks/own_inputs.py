"""Arrays for a user's own model: real text where it takes tokens, random numbers elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headway.runtime import AutoTokenizer
from headway.runtime.errors import HeadwayError, InputError, OptionError
from headway.runtime.manifest import TensorSpec

from .sentences import real_sentences

Array = np.ndarray[Any, Any]


def parse_shape(text: str) -> tuple[int, int]:
    """Batch and length of a shape such as ``8x128``.

    Raises:
        OptionError: it is no such text.
    """
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise OptionError(f"--shape {text} is no shape; write batch x length, such as 8x128.")
    return int(parts[0]), int(parts[1])


def make_arrays(specs: Sequence[TensorSpec], folder: Path, shape: tuple[int, int]) -> dict[str, Array]:
    """An array for each input of a graph.

    Args:
        specs: the graph's inputs.
        folder: the artifact, for its tokenizer.
        shape: batch and length.

    Raises:
        InputError: an axis of an input is neither batch, nor length, nor fixed.
    """
    known = {"batch_size": shape[0], "sequence_length": shape[1]}
    arrays = {}
    for spec in specs:
        sizes = [axis if isinstance(axis, int) else known.get(axis) for axis in spec.shape]
        if any(size is None for size in sizes):
            raise InputError(
                f"The input {spec.name} has the axes {', '.join(map(str, spec.shape))}; headway bench measures models "
                "whose inputs have a batch, a sequence and fixed sizes."
            )
        fill = _FILLS.get(spec.name, _zeros if "int" in spec.dtype else _noise)
        arrays[spec.name] = fill([size for size in sizes if size is not None], folder).astype(spec.dtype)
    return arrays


def text_ids(folder: Path, shape: Sequence[int]) -> Array:
    """(batch, length) tokens of real text; small numbers where the artifact has no tokenizer."""
    count = int(np.prod(shape))
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (HeadwayError, OSError):
        return np.random.default_rng(0).integers(5, 100, shape)
    ids: list[int] = []
    sentences = real_sentences(2000)
    while len(ids) < count:
        ids += [int(token) for row in tokenizer(sentences)["input_ids"] for token in row]
    return np.array(ids[:count]).reshape(shape)


def _ids(sizes: Sequence[int], folder: Path) -> Array:
    return text_ids(folder, sizes)


def _ones(sizes: Sequence[int], folder: Path) -> Array:
    return np.ones(sizes)


def _zeros(sizes: Sequence[int], folder: Path) -> Array:
    return np.zeros(sizes)


def _noise(sizes: Sequence[int], folder: Path) -> Array:
    return np.random.default_rng(0).standard_normal(sizes)


def _positions(sizes: Sequence[int], folder: Path) -> Array:
    return np.broadcast_to(np.arange(sizes[-1]), sizes)


_FILLS: Mapping[str, Callable[[Sequence[int], Path], Array]] = {
    "input_ids": _ids,
    "attention_mask": _ones,
    "pixel_mask": _ones,
    "position_ids": _positions,
}
