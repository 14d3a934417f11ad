"""What a caller passes, turned into the arrays a graph declares: dtype, rank and sizes checked one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .artifact import TensorSpec
from .errors import CorruptArtifactError, InputError, InputTypeError

Array = NDArray[Any]


def conform(spec: TensorSpec, value: Any) -> Array:
    """The value as an array of the dtype and rank that an input declares.

    Integers and booleans become the declared integer type where their values fit, numbers the declared float type;
    nothing else converts.

    Args:
        spec: the graph's input; symbolic axes take any size.
        value: an array, or anything numpy makes one of.

    Raises:
        InputTypeError: the value has another kind of dtype, is ragged, or is no array.
        InputError: the value has another rank, a fixed axis has another size, or a number does not fit.
    """
    array = _as_dtype(spec, _as_array(spec, value))
    if array.ndim != spec.rank:
        raise InputError(
            f"{spec.name} has shape {array.shape}; {spec.rank} axes are needed: {shape_text(spec)}. "
            "A single text, image or clip is a batch of one row."
        )
    for axis, (size, declared) in enumerate(zip(array.shape, spec.shape, strict=True)):
        if isinstance(declared, int) and size != declared:
            raise InputError(f"{spec.name} has {size} on axis {axis}; the model takes {declared}.")
    return array


def require_common_axes(specs: Iterable[TensorSpec], feeds: Mapping[str, Array]) -> None:
    """Check that axes of one name have one size in all arrays.

    Raises:
        InputError: two arrays disagree, such as a mask of another length than the ids.
    """
    seen: dict[str, tuple[str, int]] = {}
    for spec in specs:
        array = feeds[spec.name]
        for axis, size in zip(spec.shape, array.shape, strict=True):
            if isinstance(axis, int):
                continue
            first, expected = seen.setdefault(axis, (spec.name, size))
            if size != expected:
                raise InputError(
                    f"{spec.name} has shape {array.shape} and {first} {feeds[first].shape}: "
                    f"their axis {axis} must be equal. Take both from the same call of the tokenizer or processor."
                )


def shape_text(spec: TensorSpec) -> str:
    """The declared shape in words, such as ``(batch_size, sequence_length)``."""
    return f"({', '.join(str(axis) for axis in spec.shape)})"


def _as_array(spec: TensorSpec, value: Any) -> Array:
    if value is None:
        raise InputTypeError(f"{spec.name} is None; an array of {shape_text(spec)} {spec.dtype} is needed.")
    try:
        return np.asarray(value)
    except Exception as error:  # numpy's for ragged lists, or that of another library's tensor on a device
        raise InputTypeError(
            f"{spec.name} is ragged or no array ({error}). Tokenize with padding=True and return_tensors='np'."
        ) from error


def _as_dtype(spec: TensorSpec, array: Array) -> Array:
    if array.dtype == spec.dtype:
        return array
    wanted = _numpy_dtype(spec)
    integers = _is_integer(array.dtype) and _is_integer(wanted)
    # An empty list has numpy's default dtype; its shape is judged afterwards.
    if array.size and not integers and not np.can_cast(array.dtype, wanted, casting="same_kind"):
        raise InputTypeError(
            f"{spec.name} has dtype {array.dtype}; the model takes {spec.dtype}. Tokenize with return_tensors='np'."
        )
    if array.size and integers:
        _require_fit(spec, array, wanted)
    return array.astype(wanted)


def _require_fit(spec: TensorSpec, array: Array, wanted: np.dtype[Any]) -> None:
    if wanted == np.bool_ or np.can_cast(array.dtype, wanted):
        return
    limits = np.iinfo(wanted)
    smallest, largest = int(array.min()), int(array.max())
    if smallest < limits.min or largest > limits.max:
        raise InputError(f"{spec.name} holds {smallest} to {largest}; the model takes {spec.dtype}.")


def _is_integer(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biu"


def _numpy_dtype(spec: TensorSpec) -> np.dtype[Any]:
    try:
        return np.dtype(spec.dtype)
    except TypeError as error:
        raise CorruptArtifactError(
            f"The graph's input {spec.name} is {spec.dtype}, which numpy has no arrays for. Export the model with "
            "a float32 or float16 input."
        ) from error
