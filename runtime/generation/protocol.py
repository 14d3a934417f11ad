"""What the generation loop asks of a network, whatever kind it is: a decoder, or an encoder-decoder.

The loop owns tokens, scores, sampling, beams and stopping; the object below owns the network and its KV cache. One is
made per generation.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .history import Scores, TokenHistory, TokenIds


class NextTokenLogits(Protocol):
    """Logits of every row's next token, with the KV cache that makes each step cheap."""

    def prefill(self, history: TokenHistory) -> Scores:
        """Run the prompts, which fill the cache.

        Args:
            history: one row per sequence; an encoder-decoder's holds the decoder's prompt.

        Returns:
            (rows, vocab) float32, the logits that follow each row's last token.
        """

    def decode(self, tokens: TokenIds) -> Scores:
        """Append one token to every row.

        Args:
            tokens: (rows,) int64.

        Returns:
            (rows, vocab) float32.
        """

    def reorder(self, rows: NDArray[np.integer]) -> None:
        """Let row ``i`` continue from what row ``rows[i]`` was.

        A row may appear several times (beams, several returned sequences: prefill once, then ``reorder`` with
        ``np.repeat(np.arange(batch), num_beams)``) or not at all (finished rows that need no more steps).
        """
