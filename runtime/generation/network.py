"""What the runtime asks of a decoder graph, whether it writes its cache in place or returns a longer one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..artifact import TensorSpec
from ..errors import UnsupportedFormatError
from ..onnx_file import readers_of
from ..session import Session
from .graph_facts import GraphFacts
from .graph_states import is_state, state_specs
from .history import Scores, TokenIds


class TokenCache(Protocol):
    """Keys, values and whatever else a graph keeps, for rows that each have their own length."""

    lengths: NDArray[np.int32]

    @property
    def num_rows(self) -> int:
        """Rows of the batch."""

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens of the longest row."""

    def row_ids(self, row: int) -> TokenIds:
        """(length,) int64: the tokens that a row holds."""

    def select(self, rows: NDArray[np.integer]) -> None:
        """Let row ``i`` become what row ``rows[i]`` was."""

    def truncate(self, row: int, length: int) -> None:
        """Forget all but the first ``length`` tokens of a row."""


class TokenDecoder(Protocol):
    """Runs a graph on caches that it makes."""

    vocab_size: int

    def new_cache(self, num_rows: int, capacity: int) -> Any:
        """An empty cache for about ``capacity`` tokens per row."""

    def decode(self, cache: Any, tokens: TokenIds) -> Scores:
        """Append one token to every row; (rows, vocab) float32, overwritten by the next call."""

    def extend(self, cache: Any, rows: Sequence[TokenIds]) -> Scores:
        """Append tokens to every row; (rows, vocab) float32, the logits after each row's last token."""

    def score(self, cache: Any, rows: Sequence[TokenIds]) -> list[Scores]:
        """Append tokens to every row; the logits after each of them, (tokens, vocab) float32 per row."""


def open_decoder(
    session: Session,
    max_positions: int | None,
    prefill: Session | None = None,
    facts: GraphFacts | None = None,
    embeddings: Session | None = None,
) -> TokenDecoder:
    """The decoder that fits a graph's inputs.

    Args:
        max_positions: how many positions the model has; None for no limit.
        prefill: the graph that runs several tokens at once: the same in another precision, which shares the cache, or
            the one without a past that goes with a graph that needs one.
        facts: what the folder says of the graphs.
        embeddings: the graph that makes ``inputs_embeds`` of token ids, where the others take these.

    Raises:
        UnsupportedFormatError: the graph's cache cannot be used, or not by both graphs, or an input is not understood.
    """
    from .decoder import Decoder
    from .growing import GrowingDecoder

    facts = facts or GraphFacts()
    if has_row_lengths(session.inputs, session.path, facts):
        return Decoder(session, max_positions, prefill, facts)
    takes_past = prefill is not None and any(is_state(facts.field_name(name)) for name in prefill.input_names)
    if takes_past:
        # What cannot be kept at all is said first.
        state_specs(session, facts)
        raise UnsupportedFormatError(
            f"{session.path} returns its cache anew at each step; two precisions share only a cache that is written in "
            "place. Load one of them."
        )
    return GrowingDecoder(session, max_positions, facts, prefill, embeddings)


def has_row_lengths(inputs: Sequence[TensorSpec], path: Path, facts: GraphFacts | None = None) -> bool:
    """Whether rows of different lengths stand side by side in a graph, so that a text may join or leave at any step.

    Headway's graphs take the lengths; in those of onnxruntime-genai's builder every cache goes into
    GroupQueryAttention, and the lengths come from a mask.

    Args:
        inputs: the graph's.
        path: its file.
        facts: what the folder says of it.
    """
    facts = facts or GraphFacts()
    names = {spec.name for spec in inputs}
    if {"seqlens_k", "total_sequence_length"} <= names:
        return True
    states = frozenset(spec.name for spec in inputs if is_state(facts.field_name(spec.name)))
    if not states or facts.own_name("attention_mask") not in names:
        return False
    readers = readers_of(path, states)
    return all(readers.get(name) == {"GroupQueryAttention"} for name in states)


def batching_of(inputs: Sequence[TensorSpec], path: Path, facts: GraphFacts | None = None) -> str | None:
    """How the loop that runs a decoder's graph batches texts, for people; None for a graph that is no decoder."""
    facts = facts or GraphFacts()
    if not any(is_state(facts.field_name(spec.name)) for spec in inputs):
        return None
    if has_row_lengths(inputs, path, facts):
        return "a length for each row: continuous batching"
    return "one past for all rows: static batches"
