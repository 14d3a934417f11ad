"""Figures of repeated measurements: medians, tails, and ratios of what was measured in the same round."""

import math
from collections.abc import Mapping, Sequence
from statistics import median

# Case → engine → one list of seconds for each round, as many as calls were timed in its turn.
Turns = Mapping[str, Mapping[str, Sequence[Sequence[float]]]]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` percent of ``values`` do not exceed, between two of them in proportion.

    >>> percentile([1.0, 2.0, 3.0], 50)
    2.0
    """
    ordered = sorted(values)
    position = (len(ordered) - 1) * share / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def summary(rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    """Median, p90 and p99 of all calls, in the unit given, and their number."""
    values = [value for turn in rounds for value in turn]
    return {
        "p50": percentile(values, 50),
        "p90": percentile(values, 90),
        "p99": percentile(values, 99),
        "calls": len(values),
    }


def round_ratios(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> list[float]:
    """For each round, the median of ``one`` over the median of ``other``: what disturbed a round is in both."""
    return [median(a) / median(b) for a, b in zip(one, other, strict=False) if a and b]


def ratio(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> float:
    """The median of :func:`round_ratios`."""
    return median(round_ratios(one, other))


def without_prefill(
    totals: Sequence[Sequence[float]], prefills: Sequence[Sequence[float]], num_steps: int
) -> list[list[float]]:
    """Seconds of one decoded token, from those of a prompt with all its tokens.

    Args:
        totals: for each round, the seconds of calls that run the prompt and decode.
        prefills: for the same rounds, the seconds of calls that stop at the first token.
        num_steps: tokens after the first.
    """
    return [
        [max(total - median(prefill), 1e-9) / num_steps for total in turn]
        for turn, prefill in zip(totals, prefills, strict=False)
    ]
