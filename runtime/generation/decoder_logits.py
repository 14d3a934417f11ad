"""A decoder and its cache as what the generation loop asks for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .history import Scores, TokenHistory, TokenIds
from .network import TokenCache, TokenDecoder
from .tokens import common_prefix_length


class DecoderLogits:
    """Logits of every row's next token, from a decoder whose cache may hold a beginning of the prompts already.

    Args:
        decoder: the graph.
        cache: one row per prompt. Where a row's tokens begin the prompt, they are not run again; the rest of what the
            row holds is forgotten.
    """

    def __init__(self, decoder: TokenDecoder, cache: TokenCache) -> None:
        self.decoder = decoder
        self.cache = cache
        self.num_prefilled_tokens = 0

    def prefill(self, history: TokenHistory) -> Scores:
        """Run what the cache does not hold of each prompt; (rows, vocab) float32."""
        prompts = [history.row(row) for row in range(history.num_rows)]
        for row, tokens in enumerate(prompts):
            # The last token always runs: its logits are what prefill is for.
            self.cache.truncate(row, min(common_prefix_length(self.cache.row_ids(row), tokens), len(tokens) - 1))
        rest = [tokens[self.cache.lengths[row] :] for row, tokens in enumerate(prompts)]
        self.num_prefilled_tokens = sum(map(len, rest))
        return self.decoder.extend(self.cache, rest)

    def decode(self, tokens: TokenIds) -> Scores:
        """Append one token to every row; (rows, vocab) float32, overwritten by the next step."""
        return self.decoder.decode(self.cache, tokens)

    def reorder(self, rows: NDArray[np.integer]) -> None:
        """Let row ``i`` continue from what row ``rows[i]`` was."""
        self.cache.select(rows)

    def score(self, tokens: TokenIds) -> Scores:
        """Append tokens to the only row; (tokens, vocab) float32, the logits after each of them."""
        if len(tokens) == 1:
            return self.decoder.decode(self.cache, tokens)
        return self.decoder.score(self.cache, [tokens])[0]

    def truncate(self, length: int) -> None:
        """Forget all but the first ``length`` tokens of the only row."""
        self.cache.truncate(0, length)
