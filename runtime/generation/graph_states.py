"""What a decoder graph keeps from call to call, found by the names of its inputs and outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import TensorSpec
from ..errors import UnsupportedFormatError
from ..session import Session
from .graph_facts import GraphFacts

# Beginning of an input's name → beginning of the output that replaces it: Headway's and optimum's, then those of
# transformers' exporter.
STATE_PREFIXES: Mapping[str, str] = {
    "past_key_values.": "present.",
    "past_indexer.": "present_indexer.",
    "past_conv.": "present_conv.",
    "past_ssm.": "present_ssm.",
    "past_recurrent.": "present_recurrent.",
    "past_state.": "present_state.",
    "input.past_key_values.": "output.past_key_values.",
}

# What transformers' static caches count beside their keys and values.
_COUNTER = ".cumulative_length"

WINDOW = "._sliding_window_tensor"
"""Ending of an input of transformers' exporter that takes the width of a sliding window, the same at each call."""


@dataclass(frozen=True)
class StateSpec:
    """One thing a graph keeps from call to call.

    Args:
        past: the input.
        present_name: the output that takes its place.
        growing_axis: the axis that grows by a token per token; None for a state of fixed size.
        heads_per_row: how many entries of the first axis a row has: old BLOOM graphs put the heads there.
    """

    past: TensorSpec
    present_name: str
    growing_axis: int | None
    heads_per_row: int = 1

    def empty(self, num_rows: int) -> NDArray[Any]:
        """What stands for no token yet: no column, or a state of zeros."""
        return np.zeros(self._shape(num_rows, 0), dtype=self.past.dtype)

    def size_bytes(self, num_rows: int, length: int) -> int:
        """What it takes for rows of this many tokens."""
        return math.prod(self._shape(num_rows, length)) * np.dtype(self.past.dtype).itemsize

    def select(self, state: NDArray[Any], rows: NDArray[np.integer]) -> NDArray[Any]:
        """Those of ``rows``, in that order."""
        if self.heads_per_row > 1:
            rows = (rows[:, None] * self.heads_per_row + np.arange(self.heads_per_row)).ravel()
        return np.ascontiguousarray(state[rows])

    def _shape(self, num_rows: int, length: int) -> list[int]:
        sizes = {0: num_rows * self.heads_per_row, self.growing_axis: length}
        return [sizes[axis] if axis in sizes else int(size) for axis, size in enumerate(self.past.shape)]


def is_state(name: str) -> bool:
    """Whether an input of this name takes what an earlier call gave."""
    return name.startswith(tuple(STATE_PREFIXES)) and not name.endswith(WINDOW)


def present_name(name: str) -> str:
    """The output that takes the place of a state's input."""
    prefix = next(prefix for prefix in STATE_PREFIXES if name.startswith(prefix))
    return STATE_PREFIXES[prefix] + name.removeprefix(prefix)


def state_specs(session: Session, facts: GraphFacts | None = None) -> tuple[StateSpec, ...]:
    """What a graph keeps, found by the names of its inputs.

    Raises:
        UnsupportedFormatError: an input has no output that replaces it, or more than one axis of unknown size.
    """
    facts = facts or GraphFacts()
    return tuple(_state(session, spec, facts) for spec in session.inputs if is_state(facts.field_name(spec.name)))


def _state(session: Session, spec: TensorSpec, facts: GraphFacts) -> StateSpec:
    present = facts.own_name(present_name(facts.field_name(spec.name)))
    past = facts.cache_spec(spec)
    free = [axis for axis, size in enumerate(past.shape) if axis > 0 and not isinstance(size, int)]
    if present not in session.output_names or len(free) > 1 or spec.name.endswith(_COUNTER):
        raise UnsupportedFormatError(
            f"{session.path} has the cache input {spec.name} {list(spec.shape)} and the outputs "
            f"{list(session.output_names)}; an output {present} and at most one growing axis are needed."
        )
    # BLOOM before transformers 4.44: (batch x heads, head_dim, tokens) and (batch x heads, tokens, head_dim).
    holds_heads = "num_heads" in str(past.shape[0])
    if holds_heads and facts.num_heads is None:
        raise UnsupportedFormatError(
            f"{session.path} has the cache input {spec.name} {list(spec.shape)}, and config.json does not say how "
            "many attention heads that are. Put the checkpoint's config.json beside it."
        )
    return StateSpec(past, present, free[0] if free else None, facts.num_heads or 1 if holds_heads else 1)
