"""An encoder-decoder and its cache as what the generation loop asks for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .history import Scores, TokenHistory, TokenIds
from .seq2seq_cache import Seq2SeqCache
from .seq2seq_graphs import Seq2SeqGraphs


class Seq2SeqLogits:
    """Logits of every decoder row's next token; see :class:`.protocol.NextTokenLogits`.

    Args:
        graphs: encoder and decoder.
        cache: of the inputs, with the decoder's tokens so far, if any.
    """

    def __init__(self, graphs: Seq2SeqGraphs, cache: Seq2SeqCache) -> None:
        self.graphs = graphs
        self.cache = cache
        self.num_prefilled_tokens = 0

    def prefill(self, history: TokenHistory) -> Scores:
        """Run what the cache does not hold of the decoder's prompt; (rows, vocab) float32."""
        # The last token always runs: its logits are what prefill is for.
        self.cache.truncate(history.length - 1)
        rest = history.ids[:, self.cache.length :]
        self.num_prefilled_tokens = rest.size
        return self.graphs.run(self.cache, rest)[:, -1]

    def decode(self, tokens: TokenIds) -> Scores:
        """Append one token to every row; (rows, vocab) float32."""
        return self.graphs.run(self.cache, tokens[:, None])[:, 0]

    def reorder(self, rows: NDArray[np.integer]) -> None:
        """Let row ``i`` continue from what row ``rows[i]`` was."""
        self.cache.select(rows)

    def score(self, tokens: TokenIds) -> Scores:
        """Append tokens to the only row; (tokens, vocab) float32, the logits after each of them."""
        scores: Scores = self.graphs.run(self.cache, tokens[None])[0]
        return scores

    def truncate(self, length: int) -> None:
        """Forget all but the first ``length`` tokens of the only row."""
        self.cache.truncate(length)
