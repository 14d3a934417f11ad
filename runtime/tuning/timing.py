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

SPINNING_S = 0.04
"""Threads of the contestant before still look for work for nearly as long, and take the processors meanwhile."""

_LEAST_ROUNDS = 3
_CLEARLY_SLOWER = 1.05


# Round → case → each contestant's seconds, the champion's first.
_Rounds = Sequence[Sequence[Sequence[float]]]


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

    def of_several(self, challengers: int) -> Effort:
        """As many rounds where there are more challengers than one."""
        return replace(self, seconds=self.seconds * (1 + challengers) / 2)

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
    return compare_all(champion, [challenger], cases, effort)[0]


def compare_all(
    champion: Contestant, challengers: Sequence[Contestant], cases: Sequence[int], effort: Effort
) -> list[Comparison]:
    """The same with several at once, each beside the champion: what is nearly alike is told apart only side by side."""
    began = time.monotonic()
    contestants = (champion, *challengers)
    rounds: list[list[list[float]]] = []
    for number in range(effort.rounds):
        rounds.append([_turn(contestants, case, number) for case in cases])
        is_enough = effort.stops_early and number + 1 >= _LEAST_ROUNDS
        if is_enough and (time.monotonic() - began > effort.seconds or _are_slower(rounds)):
            break
    return [_comparison(rounds, index) for index in _after(rounds)]


def sample(call: Callable[[], object]) -> float:
    """Seconds of one call: after one that is not counted, as many as make a sample."""
    time.sleep(SPINNING_S)
    began = time.perf_counter()
    call()
    calls = max(1, math.ceil(SAMPLE_S / max(time.perf_counter() - began, 1e-6)))
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - began) / calls


def geometric_mean(values: Sequence[float]) -> float:
    """Of positive numbers; 1 for none."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else 1.0


def _turn(contestants: Sequence[Contestant], case: int, number: int) -> list[float]:
    """Seconds of each; another one begins in each round."""
    seconds = [0.0] * len(contestants)
    for turn in range(len(contestants)):
        index = (number + turn) % len(contestants)
        seconds[index] = contestants[index].seconds(case)
    return seconds


def _after(rounds: _Rounds) -> range:
    """Indices of the challengers."""
    return range(1, len(rounds[0][0]))


def _are_slower(rounds: _Rounds) -> bool:
    return all(_typical(_ratios(rounds, index)) > _CLEARLY_SLOWER for index in _after(rounds))


def _comparison(rounds: _Rounds, challenger: int) -> Comparison:
    ratios = _ratios(rounds, challenger)
    return Comparison(
        ratio=_typical(ratios),
        champion_s=_medians(rounds, 0),
        challenger_s=_medians(rounds, challenger),
        num_rounds=len(rounds),
        is_consistent=_is_ahead_in_most(ratios),
    )


def _ratios(rounds: _Rounds, challenger: int) -> list[list[float]]:
    """A challenger's time by the champion's: case → round."""
    return [[case[challenger] / case[0] for case in by_round] for by_round in zip(*rounds, strict=True)]


def _medians(rounds: _Rounds, contestant: int) -> tuple[float, ...]:
    return tuple(statistics.median(case[contestant] for case in by_round) for by_round in zip(*rounds, strict=True))


def _typical(ratios: Sequence[Sequence[float]]) -> float:
    return geometric_mean([statistics.median(case) for case in ratios])


def _is_ahead_in_most(ratios: Sequence[Sequence[float]]) -> bool:
    rounds = [geometric_mean(one) for one in zip(*ratios, strict=True)]
    return sum(ratio < 1 for ratio in rounds) * 3 >= len(rounds) * 2
