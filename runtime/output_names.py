"""What a graph's outputs are, where its exporter left numbers for their names."""

from __future__ import annotations

from collections.abc import Sequence

from .artifact import TensorSpec

HIDDEN_STATES = "last_hidden_state"

_KNOWN = frozenset({HIDDEN_STATES, "token_embeddings", "sentence_embedding"})
_NUM_AXES = 3  # (batch, sequence, hidden)


def unnamed_hidden_states(outputs: Sequence[TensorSpec]) -> str | None:
    """The output that has to be a backbone's hidden states: the only one of floating numbers with three axes.

    Args:
        outputs: the graph's.

    Returns:
        Its name in the graph; None where an output has a name that says what it is, or where there is no such one.
    """
    if any(spec.name in _KNOWN for spec in outputs):
        return None
    found = [spec.name for spec in outputs if spec.rank == _NUM_AXES and "float" in spec.dtype]
    return found[0] if len(found) == 1 else None


def backbone_names(outputs: Sequence[TensorSpec]) -> tuple[str, ...]:
    """The outputs' names, with ``last_hidden_state`` for the one that has to be it.

    >>> ids, states = TensorSpec("output", "int64", (1, 2)), TensorSpec("422", "float32", (1, 2, 384))
    >>> backbone_names([ids, states]), backbone_names([states, states])
    (('output', 'last_hidden_state'), ('422', '422'))
    """
    unnamed = unnamed_hidden_states(outputs)
    return tuple(HIDDEN_STATES if spec.name == unnamed else spec.name for spec in outputs)
