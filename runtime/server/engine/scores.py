"""Processors of scores that OpenAI's options ask for and transformers has not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...generation.history import Scores, TokenIds


class OccurrencePenalty:
    """Lowers the scores of tokens that were written already.

    ``scores[token] -= presence + frequency * count`` where a token was written ``count`` > 0 times; the prompt does
    not count. Source: OpenAI's API reference, on frequency and presence penalties.

    Args:
        presence: for being there.
        frequency: for each time.
    """

    def __init__(self, presence: float, frequency: float) -> None:
        self._presence, self._frequency = presence, frequency
        self._prompt_length = -1

    def __call__(self, input_ids: TokenIds, scores: Scores) -> Scores:
        """Lower them; called first with the prompt alone."""
        if self._prompt_length < 0:
            self._prompt_length = input_ids.shape[1]
        tokens, counts = np.unique(input_ids[0, self._prompt_length :], return_counts=True)
        scores[0, tokens] -= self._presence + self._frequency * counts.astype(np.float32)
        return scores


class LogitBias:
    """Adds a number to the scores of some tokens.

    Args:
        biases: token → what is added; -100 and below bans it.
    """

    def __init__(self, biases: Mapping[int, float]) -> None:
        self._tokens = np.array(list(biases), dtype=np.int64)
        values = np.array(list(biases.values()), dtype=np.float32)
        self._biases = np.where(values <= -100, -np.inf, values).astype(np.float32)

    def __call__(self, input_ids: TokenIds, scores: Scores) -> Scores:
        """Add them."""
        scores[0, self._tokens] += self._biases
        return scores
