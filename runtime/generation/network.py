"""What the runtime asks of a decoder graph, whether it writes its cache in place or returns a longer one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import UnsupportedFormatError
from ..session import Session
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


def open_decoder(session: Session, max_positions: int | None, prefill: Session | None = None) -> TokenDecoder:
    """The decoder that fits a graph's inputs.

    Args:
        max_positions: how many positions the model has; None for no limit.
        prefill: the same graph in another precision, for runs of several tokens; it shares the cache.

    Raises:
        UnsupportedFormatError: the graph's cache cannot be used, or not by both graphs.
    """
    from .decoder import Decoder, is_shared_buffer_graph
    from .growing import GrowingDecoder

    if is_shared_buffer_graph(session):
        return Decoder(session, max_positions, prefill)
    if prefill is not None:
        raise UnsupportedFormatError(
            f"{session.path} returns its cache anew at each step; two precisions share only a cache that is written in "
            "place. Load one of them."
        )
    return GrowingDecoder(session, max_positions)
