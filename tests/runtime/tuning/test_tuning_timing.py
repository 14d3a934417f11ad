"""Comparisons on contestants whose clock is a list."""

import itertools

import pytest

from headway.runtime.tuning import timing
from headway.runtime.tuning.timing import Effort, compare, compare_all, geometric_mean, sample


class Clockwork:
    """Takes the given seconds, one after another and again from the start, per case."""

    def __init__(self, *seconds):
        self.seconds_left = [itertools.cycle(case) for case in seconds]
        self.num_calls = 0

    def seconds(self, case):
        self.num_calls += 1
        return next(self.seconds_left[case])


def test_twice_as_fast():
    found = compare(Clockwork([2.0], [8.0]), Clockwork([1.0], [4.0]), [0, 1], Effort(rounds=5, seconds=60))
    assert (found.ratio, found.champion_s, found.challenger_s) == (0.5, (2.0, 8.0), (1.0, 4.0))
    assert (found.num_rounds, found.is_consistent) == (5, True)


def test_the_ratio_is_the_geometric_mean_over_cases():
    found = compare(Clockwork([1.0], [1.0]), Clockwork([0.5], [2.0]), [0, 1], Effort(rounds=3))
    assert found.ratio == pytest.approx(1.0)


def test_only_the_named_cases_are_timed():
    challenger = Clockwork([5.0], [0.5])
    assert compare(Clockwork([1.0], [1.0]), challenger, [1], Effort(rounds=3)).ratio == 0.5
    assert challenger.num_calls == 3


def test_what_is_clearly_slower_ends_early():
    assert compare(Clockwork([1.0]), Clockwork([1.2]), [0], Effort(rounds=50)).num_rounds == 3
    assert compare(Clockwork([1.0]), Clockwork([1.2]), [0], Effort(rounds=9).whole()).num_rounds == 9


def test_time_ends_it_once_there_are_enough_rounds():
    assert compare(Clockwork([1.0]), Clockwork([1.0]), [0], Effort(rounds=50, seconds=1e-9)).num_rounds == 3


def test_a_median_ahead_by_few_rounds_is_not_consistent():
    # Ahead by the medians, in three rounds of five only.
    found = compare(Clockwork([1.0]), Clockwork([0.9, 0.9, 0.9, 1.1, 1.1]), [0], Effort(rounds=5))
    assert found.ratio == 0.9
    assert not found.is_consistent


def test_one_outlier_changes_nothing():
    found = compare(Clockwork([1.0]), Clockwork([0.9, 0.9, 30.0, 0.9, 0.9]), [0], Effort(rounds=5))
    assert found.ratio == 0.9
    assert found.is_consistent


def test_who_goes_first_changes():
    order = []

    class Noting(Clockwork):
        def seconds(self, case):
            order.append(self)
            return super().seconds(case)

    champion, challenger = Noting([1.0]), Noting([1.0])
    compare(champion, challenger, [0], Effort(rounds=3))
    assert order == [champion, challenger, challenger, champion, champion, challenger]


def test_several_are_timed_side_by_side():
    order = []

    class Noting(Clockwork):
        def seconds(self, case):
            order.append(self)
            return super().seconds(case)

    # The machine is twice as slow in its second round, for all alike.
    champion, first, second = Noting([1.0, 2.0, 1.0]), Noting([0.9, 1.8, 0.9]), Noting([1.2, 2.4, 1.2])
    found = compare_all(champion, [first, second], [0], Effort(rounds=3))
    assert [one.ratio for one in found] == pytest.approx([0.9, 1.2])
    assert [one.is_consistent for one in found] == [True, False]
    assert order == [champion, first, second, first, second, champion, second, champion, first]


def test_several_are_timed_on_while_one_may_win():
    challengers = [Clockwork([1.2]), Clockwork([0.99])]
    assert [one.num_rounds for one in compare_all(Clockwork([1.0]), challengers, [0], Effort(rounds=5))] == [5, 5]
    assert compare_all(Clockwork([1.0]), [Clockwork([1.2])] * 2, [0], Effort(rounds=5))[0].num_rounds == 3


def test_several_get_as_many_rounds():
    assert Effort(seconds=6.0).of_several(1).seconds == 6.0
    assert Effort(seconds=6.0).of_several(3).seconds == 12.0


def test_short_calls_are_repeated(monkeypatch):
    now = itertools.count(0.0, 0.001)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(now))
    calls = []
    sample(lambda: calls.append(1))
    assert len(calls) == 1 + 20


def test_threads_of_the_contestant_before_are_waited_for(monkeypatch):
    happened = []
    monkeypatch.setattr(timing.time, "sleep", lambda seconds: happened.append(seconds))
    sample(lambda: happened.append("call"))
    assert happened[:2] == [timing.SPINNING_S, "call"]


def test_geometric_mean():
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert geometric_mean([]) == 1.0
