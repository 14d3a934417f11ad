"""A step that CUDA records once and repeats: every address it reads and writes stays where it was.

https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#using-cuda-graphs-preview
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..providers import import_onnxruntime
from .places import Place

_GRAPH_ID = "gpu_graph_id"
_NOT_RECORDED = -1
_next_id = itertools.count(1)


class FixedInputs:
    """Inputs of a step at fixed addresses on a device, refilled from arrays of numpy before each run.

    Args:
        binding: of the session that runs the step.
        place: where the graph computes.
    """

    def __init__(self, binding: Any, place: Place) -> None:
        self._binding, self._place = binding, place
        self._pairs: list[tuple[Any, NDArray[Any]]] = []

    def bind(self, name: str, array: NDArray[Any]) -> None:
        """Bind an input to a place of its own, which :meth:`push` fills from ``array``."""
        value = self._place.empty(array.shape, array.dtype.name)
        self._binding.bind_ortvalue_input(name, value)
        self._pairs.append((value, array))

    def push(self) -> None:
        """Copy what the arrays hold now to the device."""
        for value, array in self._pairs:
            value.update_inplace(array)


def recorded_run_options() -> Any:
    """Run options under which the first run is recorded, and later ones repeat it: of one binding alone."""
    return _run_options(next(_next_id))


def unrecorded_run_options() -> Any:
    """Run options of a session that records steps, for a run that is none."""
    return _run_options(_NOT_RECORDED)


def _run_options(graph_id: int) -> Any:
    options = import_onnxruntime().RunOptions()
    options.add_run_config_entry(_GRAPH_ID, str(graph_id))
    return options


def fixed_output(binding: Any, name: str, place: Place, like: NDArray[np.generic]) -> Any:
    """Bind an output to a place of its own on the device, and return that."""
    value = place.empty(like.shape, like.dtype.name)
    binding.bind_ortvalue_output(name, value)
    return value
