"""Two ways of doing the same work, timed in turns: medians of ratios, and an early end where one is clearly slower."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

SAMPLE_S = 0.02
"""Calls that are shorter are repeated to this length for one sample."""

_LEAST_ROUNDS = 3
_CLEARLY_SLOWER = 1.05


class Contestant(Protocol):
    """Something that can be timed on cases, which are numbered."""

    def seconds(self, case: int) -> float:
        """Seconds of one call of a case, from one sample."""


@dataclass(frozen=True)
class Effort:
    """How long two contestants are compared.

    Args:
        rounds: samples of each case, at most.
        seconds: no further round begins after this long, once there are enough for a median.
        stops_early: end where the challenger is clearly slower, or time is up.
    """

    rounds: int = 11
    seconds: float = 6.0
    stops_early: bool = True

    def whole(self) -> Effort:
        """The same without an end before the last round."""
        return replace(self, stops_early=False)


DEFAULT_EFFORT = Effort()


@dataclass(frozen=True)
class Comparison:
    """What a comparison showed.

    Args:
        ratio: the challenger's time by the champion's, the geometric mean over the cases; below 1 is faster.
        champion_s: median seconds of each case.
        challenger_s: the same of the challenger.
        num_rounds: samples of each.
        is_consistent: whether the challenger was ahead in most rounds, not only in the middle one.
    """

    ratio: float
    champion_s: tuple[float, ...]
    challenger_s: tuple[float, ...]
    num_rounds: int
    is_consistent: bool


def compare(champion: Contestant, challenger: Contestant, cases: Sequence[int], effort: Effort) -> Comparison:
    """Time both in turns on every case.

    Whoever goes first changes from round to round, so that what disturbs the machine disturbs both.
    """
    began = time.monotonic()
    ratios: list[list[float]] = [[] for _ in cases]
    times: list[list[tuple[float, float]]] = [[] for _ in cases]
    for round_number in range(effort.rounds):
        for index, case in enumerate(cases):
            pair = _pair(champion, challenger, case, challenger_first=round_number % 2 == 1)
            times[index].append(pair)
            ratios[index].append(pair[1] / pair[0])
        is_enough = effort.stops_early and round_number + 1 >= _LEAST_ROUNDS
        if is_enough and _may_stop(ratios, time.monotonic() - began > effort.seconds):
            break
    return Comparison(
        ratio=_typical(ratios),
        champion_s=tuple(statistics.median(pair[0] for pair in pairs) for pairs in times),
        challenger_s=tuple(statistics.median(pair[1] for pair in pairs) for pairs in times),
        num_rounds=len(ratios[0]),
        is_consistent=_is_ahead_in_most(ratios),
    )


def sample(call: Callable[[], object]) -> float:
    """Seconds of one call: after one that is not counted, as many as make a sample."""
    began = time.perf_counter()
    call()
    # The first call also waits for threads of the other contestant that still spin.
    calls = max(1, math.ceil(SAMPLE_S / max(time.perf_counter() - began, 1e-6)))
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - began) / calls


def geometric_mean(values: Sequence[float]) -> float:
    """Of positive numbers; 1 for none."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else 1.0


def _pair(champion: Contestant, challenger: Contestant, case: int, *, challenger_first: bool) -> tuple[float, float]:
    if challenger_first:
        second = challenger.seconds(case)
        return champion.seconds(case), second
    return champion.seconds(case), challenger.seconds(case)


def _may_stop(ratios: Sequence[Sequence[float]], is_late: bool) -> bool:
    return is_late or _typical(ratios) > _CLEARLY_SLOWER


def _typical(ratios: Sequence[Sequence[float]]) -> float:
    return geometric_mean([statistics.median(case) for case in ratios])


def _is_ahead_in_most(ratios: Sequence[Sequence[float]]) -> bool:
    rounds = [geometric_mean(one) for one in zip(*ratios, strict=True)]
    return sum(ratio < 1 for ratio in rounds) * 3 >= len(rounds) * 2
