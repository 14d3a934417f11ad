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

_BLOCK_SIZE = 256
# So far below the highest score, exp() of the difference is 0 in float32.
_NO_WEIGHT = np.float32(104)
_FEW = 0.125


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
    if seed is None or isinstance(seed, (int, np.integer)):
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
    highest = scores.max(initial=-np.inf)
    if not np.isfinite(highest):
        raise OptionError(
            f"Row {row} cannot be sampled: its highest score is {highest}. Relax the options that ban tokens, "
            "or pass remove_invalid_values=True if the model gives nan or inf."
        )
    share = generator.random()
    candidates = np.flatnonzero(scores > highest - _NO_WEIGHT)
    if len(candidates) <= _FEW * len(scores):
        position, _ = _locate(np.exp(scores[candidates] - highest), share)
        return int(candidates[position])
    blocks = np.zeros((-(-len(scores) // _BLOCK_SIZE), _BLOCK_SIZE), dtype=np.float32)
    weights = blocks.reshape(-1)[: len(scores)]
    np.exp(scores - highest, out=weights)
    # First the block, then the token in it: summing the whole vocabulary up one by one would cost most of a draw.
    block, rest = _locate(blocks.sum(axis=1), share)
    position, _ = _locate(blocks[block], rest)
    return int(block) * _BLOCK_SIZE + position


def _locate(weights: NDArray[np.floating], share: float) -> tuple[int, float]:
    """Where ``share`` (0 to 1) of the sum of ``weights`` is reached, and which share of that weight is used up."""
    sums = weights.cumsum(dtype=np.float64)
    target = share * sums[-1]
    last = int(sums.searchsorted(sums[-1]))  # the last weight over 0
    position = min(int(sums.searchsorted(target, side="right")), last)
    used = (target - (sums[position] - weights[position])) / weights[position]
    return position, min(max(float(used), 0.0), 1.0)
