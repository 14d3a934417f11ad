"""Which outputs a head gives and what their axes are, found out by running it at two sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from transformers import PreTrainedModel

from headway.runtime.errors import ExportError


def outputs_of(model: PreTrainedModel, example: Mapping[str, torch.Tensor], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the wanted output fields that the model returns as tensors.

    Raises:
        ExportError: none of them is there, or the model gives other results each time.
    """
    with torch.no_grad():
        result, again = model(**example, return_dict=True), model(**example, return_dict=True)
    present = tuple(name for name in wanted if isinstance(result.get(name), torch.Tensor))
    if not present:
        raise ExportError(f"{type(model).__name__} returns {', '.join(result)}, not {' or '.join(wanted)}.")
    if not torch.allclose(result[present[0]], again[present[0]], rtol=1e-3, atol=1e-4, equal_nan=True):
        raise ExportError(f"{type(model).__name__} gives other results each time it runs, so none can be verified.")
    return present


def axes_of_outputs(
    model: PreTrainedModel,
    axes: Mapping[str, Sequence[str]],
    examples: Sequence[Mapping[str, torch.Tensor]],
    outputs: tuple[str, ...],
    computed: Mapping[int, str] = MappingProxyType({}),
) -> dict[str, tuple[str | int, ...]]:
    """Output → its axes: the name of the input axis that has its sizes, or a number where the size never changes.

    Args:
        axes: input → names of its axes.
        examples: inputs of different sizes; every axis changes from one to the next.
        computed: index of an axis → its name where its size is none of the inputs', such as an audio model's frames.
    """
    input_sizes = _sizes_of_names(axes, examples)
    with torch.no_grad():
        results = [model(**example, return_dict=True) for example in examples]
    named = {}
    for output in outputs:
        shapes = [tuple(result[output].shape) for result in results]
        named[output] = tuple(
            _axis(sizes, input_sizes, computed.get(index, f"{output}_axis_{index}"))
            for index, sizes in enumerate(zip(*shapes, strict=True))
        )
    return named


def _sizes_of_names(
    axes: Mapping[str, Sequence[str]], examples: Sequence[Mapping[str, torch.Tensor]]
) -> dict[tuple[int, ...], str]:
    sizes: dict[tuple[int, ...], str] = {}
    for name, names in axes.items():
        for index, axis in enumerate(names):
            if axis:
                sizes.setdefault(tuple(example[name].shape[index] for example in examples), axis)
    return sizes


def _axis(sizes: tuple[int, ...], names: Mapping[tuple[int, ...], str], computed: str) -> str | int:
    return sizes[0] if len(set(sizes)) == 1 else names.get(sizes, computed)
