"""What processors of images and audio return: inputs of a model by name."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .errors import InputError, OptionError


class BatchFeature(UserDict[str, Any]):
    """Arrays, or lists of arrays, by key (``batch["pixel_values"]``) and by attribute (``batch.pixel_values``).

    Pass all of them to a model with ``model(**batch)``. Source of the interface: ``transformers.BatchFeature``.

    >>> BatchFeature({"pixel_values": [0.5]}).pixel_values
    [0.5]
    """

    def __getattr__(self, name: str) -> Any:
        # Copying and pickling ask for attributes before there is any data.
        data: Mapping[str, Any] = self.__dict__.get("data", {})
        if name in data:
            return data[name]
        raise AttributeError(f"This batch has no {name!r}; it has {', '.join(data)}.")


def require_array_type(return_tensors: Any) -> None:
    """Raise OptionError unless ``return_tensors`` is ``"np"``, which gives arrays, or None, which gives lists."""
    if return_tensors not in ("np", None):
        raise OptionError(f"return_tensors is {return_tensors!r}; pass 'np' for arrays, or None for lists.")


def stacked(name: str, rows: Sequence[Any]) -> Any:
    """Rows of one shape as one array (rows, …).

    Raises:
        InputError: their shapes differ.
    """
    arrays = [np.asarray(row) for row in rows]
    shapes = dict.fromkeys(array.shape for array in arrays)
    if len(shapes) > 1:
        raise InputError(
            f"{name} cannot be one array: its rows have the shapes {', '.join(map(str, list(shapes)[:4]))}. Bring the"
            " inputs to one size, pass them one by one, or leave return_tensors away for a list."
        )
    return np.stack(arrays)
