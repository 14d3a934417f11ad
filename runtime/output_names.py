"""What a graph's outputs are, where its exporter left numbers for their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .artifact import TensorSpec

HIDDEN_STATES = "last_hidden_state"

_KNOWN = frozenset({HIDDEN_STATES, "token_embeddings", "sentence_embedding"})
# Names that say what an output is; any other is an exporter's number.
_SAYING = ("logits", "hidden", "embed", "pooler", "present", "loss")
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


def head_names(outputs: Sequence[TensorSpec], needed: Mapping[str, int]) -> tuple[str, ...]:
    """The outputs' names; the only output of a head that needs one is that one, where its own name says nothing.

    Args:
        outputs: the graph's.
        needed: outputs that the head reads → their number of axes.

    >>> head_names([TensorSpec("output_0", "float32", ("batch", 3))], {"logits": 2})
    ('logits',)
    >>> head_names([TensorSpec("sentence_embedding", "float32", ("batch", 3))], {"logits": 2})
    ('sentence_embedding',)
    """
    names = tuple(spec.name for spec in outputs)
    if len(needed) != 1 or len(outputs) != 1 or any(word in names[0] for word in _SAYING):
        return names
    ((name, num_axes),) = needed.items()
    return (name,) if outputs[0].rank in (num_axes, 0) and "float" in outputs[0].dtype else names
