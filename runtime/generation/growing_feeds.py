"""The small inputs of a past-to-present graph: one function for each name that graphs are known to declare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import TensorSpec
from ..errors import UnsupportedFormatError
from ..session import Session
from .graph_facts import GraphFacts
from .graph_states import WINDOW, is_state
from .history import TokenIds

Array = NDArray[Any]


@dataclass(frozen=True)
class _Call:
    """One call: (rows, tokens) ids, the mask over past and new columns, and how many last columns' logits count."""

    block: TokenIds
    full_mask: NDArray[np.int64]
    num_logits: int
    has_past: bool

    @property
    def num_tokens(self) -> int:
        return int(self.block.shape[1])


def _position_ids(call: _Call, spec: TensorSpec) -> Array:
    positions = np.maximum(np.cumsum(call.full_mask, axis=1) - 1, 0)[:, -call.num_tokens :]
    # Three of them where a model numbers time, height and width: of text they are the same.
    return positions if spec.rank < 3 else np.broadcast_to(positions, (int(spec.shape[0]), *positions.shape))


def _cache_position(call: _Call, spec: TensorSpec) -> Array:
    width = call.full_mask.shape[1]
    return np.arange(width - call.num_tokens, width)


def _kept_logits(call: _Call, spec: TensorSpec) -> Array:
    if spec.rank < 2:
        return np.full((1,) * spec.rank, call.num_logits)
    return np.broadcast_to(
        np.arange(call.num_tokens - call.num_logits, call.num_tokens), (len(call.block), call.num_logits)
    )


# Input → its value, in any integer type.
_FEEDS: Mapping[str, Callable[[_Call, TensorSpec], Array]] = {
    "input_ids": lambda call, spec: call.block,
    "attention_mask": lambda call, spec: call.full_mask,
    "position_ids": _position_ids,
    "token_type_ids": lambda call, spec: np.zeros_like(call.block),
    "logits_to_keep": _kept_logits,
    "num_logits_to_keep": _kept_logits,
    "cache_position": _cache_position,
    "use_cache_branch": lambda call, spec: np.array([call.has_past]),
}

_RANKS: Mapping[str, tuple[int, ...]] = {"input_ids": (2,), "attention_mask": (2,), "position_ids": (2, 3)}


def graph_feeds(
    session: Session,
    facts: GraphFacts,
    block: TokenIds,
    full_mask: NDArray[np.int64],
    num_logits: int,
    *,
    has_past: bool,
) -> dict[str, Array]:
    """A value for every input of a graph but its states, in the types it declares.

    Args:
        block: (rows, tokens) int64, right-aligned.
        full_mask: (rows, past + tokens) int64.
        num_logits: of how many last columns the logits are wanted.
        has_past: whether the states hold anything.
    """
    call = _Call(block, full_mask, num_logits, has_past)
    named = [(facts.field_name(spec.name), spec) for spec in session.inputs]
    feeds = {spec.name: _FEEDS[name](call, spec) for name, spec in named if name in _FEEDS}
    feeds |= {spec.name: np.full((), facts.sliding_window) for name, spec in named if name.endswith(WINDOW)}
    return {
        spec.name: np.asarray(feeds[spec.name], dtype=spec.dtype, order="C")
        for spec in session.inputs
        if spec.name in feeds
    }


def require_known_inputs(session: Session, facts: GraphFacts, *, has_embeddings: bool = False) -> None:
    """Check that all inputs of a graph can be fed.

    Raises:
        UnsupportedFormatError: names the input that cannot, and says what is known.
    """
    known = {*_FEEDS, "inputs_embeds"} if has_embeddings else set(_FEEDS)
    for spec in session.inputs:
        name = facts.field_name(spec.name)
        is_window = name.endswith(WINDOW) and facts.sliding_window is not None and spec.rank == 0
        if is_state(name) or is_window or (name in known and spec.rank in _RANKS.get(name, (spec.rank,))):
            continue
        raise UnsupportedFormatError(
            f"{session.path} has the input {spec.name} {spec.dtype}{list(spec.shape)}, which is not understood; a "
            f"decoder's are {', '.join(known)} of (batch, tokens), and past_key_values.… Export the checkpoint with "
            "`headway export`."
        )
