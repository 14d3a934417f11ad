"""The key and value buffers of a graph that writes its cache in place."""

from __future__ import annotations

from ..errors import UnsupportedFormatError
from ..session import Session
from .cache import BufferSpec
from .graph_facts import GraphFacts
from .graph_states import is_state, present_name

_KNOWN_INPUTS = (
    "input_ids",
    "attention_mask",
    "position_ids",
    "seqlens_k",
    "total_sequence_length",
    "sequence_lengths",
    "logits_to_keep",
    "num_logits_to_keep",
    "audio_features",
)


def buffer_specs(session: Session, facts: GraphFacts | None = None) -> tuple[BufferSpec, ...]:
    """The key and value buffers of a graph, read from its inputs.

    Raises:
        UnsupportedFormatError: a buffer has no counterpart among the outputs, or an unknown shape; or another input is
            not understood.
    """
    facts = facts or GraphFacts()
    specs = []
    for given in session.inputs:
        name = facts.field_name(given.name)
        if not is_state(name):
            _require_known(session, given.name, name)
            continue
        spec = facts.cache_spec(given)
        present = facts.own_name(present_name(name))
        heads, head_dim = (spec.shape[1], spec.shape[3]) if spec.rank == 4 else (None, None)
        if present not in session.output_names or not isinstance(heads, int) or not isinstance(head_dim, int):
            raise UnsupportedFormatError(
                f"{session.path} has the cache input {spec.name} {list(spec.shape)} and the outputs "
                f"{list(session.output_names)}; (batch, heads, tokens, head_dim) with an output {present} is needed."
            )
        specs.append(BufferSpec(spec.name, present, heads, head_dim, spec.dtype))
    return tuple(specs)


def _require_known(session: Session, own_name: str, name: str) -> None:
    if name not in _KNOWN_INPUTS:
        raise UnsupportedFormatError(
            f"{session.path} has the input {own_name}, which is not understood; beside its cache a decoder takes "
            f"{', '.join(_KNOWN_INPUTS)}. Export the checkpoint with `headway export`."
        )
