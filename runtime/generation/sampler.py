"""From scores to the next token of each row: argmax, or a draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .config import GenerationConfig
from .history import Scores, TokenIds

Seed = int | Sequence[int] | None
RowGenerators = list[np.random.Generator]
Sampler = Callable[[Scores, NDArray[np.integer] | None], TokenIds]


def make_sampler(config: GenerationConfig, seed: Seed = None, *, num_rows: int) -> Sampler:
    """Closure from processed scores to next tokens.

    The closure takes ``scores``, (rows, vocab) float32, and optionally ``rows``, (rows,) integers saying which of the
    ``num_rows`` rows these are (None: all, in order), and gives (rows,) int64.

    Args:
        config: ``do_sample`` chooses between argmax and a draw.
        seed: an integer (row ``i`` draws from stream ``i`` of it), one integer per row (row ``i`` then draws the same
            whatever else the batch holds, and wherever it stands in it), or None for a fresh one.
        num_rows: how many rows will be sampled, returned sequences included.

    Raises:
        OptionError: there is not one seed per row; when sampling, a row with no finite score.
    """
    if not config.do_sample:
        return greedy
    generators = row_generators(seed, num_rows)

    def sample(scores: Scores, rows: NDArray[np.integer] | None = None) -> TokenIds:
        chosen = range(num_rows) if rows is None else rows.tolist()
        draws = [draw(row_scores, generators[row], row) for row_scores, row in zip(scores, chosen, strict=True)]
        return np.array(draws, dtype=np.int64)

    return sample


def row_generators(seed: Seed, num_rows: int) -> RowGenerators:
    """One random generator per row, independent of one another and of how many rows there are."""
    if seed is None or isinstance(seed, int):
        root = np.random.SeedSequence(seed)
        sequences = [np.random.SeedSequence(root.entropy, spawn_key=(row,)) for row in range(num_rows)]
    elif len(seed) != num_rows:
        raise OptionError(f"seed holds {len(seed)} values for {num_rows} rows; pass one integer, or one per row.")
    else:
        sequences = [np.random.SeedSequence(row_seed, spawn_key=(0,)) for row_seed in seed]
    return [np.random.Generator(np.random.Philox(sequence)) for sequence in sequences]


def greedy(scores: Scores, rows: NDArray[np.integer] | None = None) -> TokenIds:
    """Token with the highest score of each row; the first of equals. ``scores``: (rows, vocab)."""
    tokens: TokenIds = scores.argmax(axis=-1)
    return tokens


def draw(scores: Scores, generator: np.random.Generator, row: int = 0) -> int:
    """Draw one token with the probabilities softmax(scores), by the inverse of their cumulative sum.

    Args:
        scores: (vocab,) float32; a token at -inf is never drawn.
        generator: advanced by exactly one draw.
        row: named in the error.

    Raises:
        OptionError: no token has a finite score, or one is nan or +inf.
    """
    candidates = np.flatnonzero(scores != -np.inf)  # nan stays, and is refused below
    weights = scores[candidates]
    highest = weights.max(initial=-np.inf)
    if not np.isfinite(highest) or len(candidates) == 0:
        raise OptionError(
            f"Row {row} cannot be sampled: its highest score is {highest}. Relax the options that ban tokens, "
            "or pass remove_invalid_values=True if the model gives nan or inf."
        )
    cumulative = np.exp(weights - highest).cumsum(dtype=np.float64)
    position = cumulative.searchsorted(generator.random() * cumulative[-1], side="right")
    return int(candidates[min(int(position), len(candidates) - 1)])
