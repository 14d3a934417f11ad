"""The search: one change at a time on top of the best so far, kept where it is faster and the answers stay right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from ..errors import HeadwayError
from .accuracy import Answers, Limits, cosine, has_drifted
from .benches import Bench
from .choices import STAGES, Change, Scope, spread_out
from .setup import Setup
from .timing import Comparison, Effort, compare, compare_all

MIN_GAIN = 0.02
"""Share of the time that a change must save."""

_BEHIND = "another is faster"
# As many are opened at a time, each with its weights.
_MOST_FINALISTS = 3

OnTrial = Callable[["Trial"], None]
OnStage = Callable[[str, int], None]


@dataclass(frozen=True)
class Trial:
    """What became of one change.

    Args:
        stage: what kind of change.
        name: the change.
        gain: how many times faster than the best before it; None where it was not timed.
        cosine: of its answers with the most precise variant's; None where it did not load.
        verdict: ``"kept"``, ``"no gain"``, ``"slower"``, ``"another is faster"``, or why it was refused.
        num_rounds: samples of each case.
    """

    stage: str
    name: str
    gain: float | None
    cosine: float | None
    verdict: str
    num_rounds: int = 0

    @property
    def is_kept(self) -> bool:
        """Whether it is part of what was found."""
        return self.verdict == "kept"


@dataclass(frozen=True)
class _Finalist:
    """One of several that are faster than the best so far, by the ratio of a first look."""

    ratio: float
    setup: Setup
    bench: Bench
    trial: Trial


@dataclass
class Search:
    """Looks for the fastest setup.

    Args:
        scope: what may be tried.
        untuned: how the artifact loads by itself.
        limits: on answers.
        effort: of each comparison.
        on_stage: told each stage with the number of its changes.
        on_trial: told each change that was tried.
    """

    scope: Scope
    untuned: Setup
    limits: Limits
    effort: Effort
    on_stage: OnStage = lambda stage, num_changes: None
    on_trial: OnTrial = lambda trial: None
    trials: list[Trial] = field(default_factory=list)
    _own_cosines: dict[tuple[str, str, str | None], float] = field(default_factory=dict)

    def run(self) -> Setup:
        """The fastest setup found; what was tried is in ``trials``.

        Raises:
            HeadwayError: the artifact does not run untuned.
        """
        self._best, self._champion = self.untuned, self.scope.workload.open(self.untuned)
        self._reference = self._reference_answers()
        self._own_cosines[_own_key(self.untuned)] = cosine(self._reference, self._answers(self._champion))
        for stage, changes_of in STAGES.items():
            changes = list(changes_of(self._best, self.scope))
            self.on_stage(stage, len(changes))
            for group, members in groupby(changes, key=lambda change: change.group):
                if group:
                    self._choose(stage, list(members))
                else:
                    for change in members:
                        self._consider(stage, change)
        sizes = [shape.num_tokens for shape in self.scope.workload.shapes]
        return replace(self._best, runs=spread_out(self._best.runs, sizes))

    def settle(self, found: Setup) -> tuple[Setup, Comparison]:
        """What was found beside the untuned setup, and the untuned one instead where it is no faster, twice.

        Every change was timed beside another, over minutes in which a machine may change: what counts is the whole.
        """
        beside = self._beside_untuned(found)
        if beside.ratio > 1 and found != self.untuned:
            beside = min(beside, self._beside_untuned(found), key=lambda comparison: comparison.ratio)
            if beside.ratio > 1:
                self._tell(Trial("all of it", "beside untuned", 1 / beside.ratio, None, "slower", beside.num_rounds))
                found = self.untuned
        if found == self.untuned:
            beside = replace(beside, ratio=1.0, challenger_s=beside.champion_s)
        return found, beside

    def _beside_untuned(self, found: Setup) -> Comparison:
        open_setup, cases = self.scope.workload.open, self.scope.workload.cases
        return compare(open_setup(self.untuned), open_setup(found), cases, self.effort.whole())

    def cosine_of(self, setup: Setup) -> float:
        """How close a setup's answers are to the most precise variant's."""
        return cosine(self._reference, self._answers(self.scope.workload.open(setup)))

    def _reference_answers(self) -> Answers:
        """Those of float32 as it loads by itself, or else of the untuned setup."""
        if self.untuned.dtype == "fp32" or "fp32" not in self.scope.workload.artifact.variants:
            return self._answers(self._champion)
        return self._answers(self.scope.workload.open(Setup("fp32")))

    def _answers(self, bench: Bench) -> Answers:
        return [answer for case in self.scope.workload.cases for answer in bench.answers(case)]

    def _consider(self, stage: str, change: Change) -> None:
        setup = change.apply(self._best)
        opened = self._opened(stage, change, setup)
        if opened is None:
            return
        bench, value = opened
        trial = _trial(stage, change, value, self._compared(bench, self._cases_of(change)))
        self._tell(trial)
        if trial.is_kept:
            self._best, self._champion = setup, bench

    def _choose(self, stage: str, changes: Sequence[Change]) -> None:
        """The fastest of changes that take each other's place: a look at each, and the best of them side by side.

        One after the other, each against the best before it, the first that gains would stay, and keep out those that
        are faster than it by less than a change must gain.
        """
        finalists: list[_Finalist] = []
        for change in changes:
            setup = change.apply(self._best)
            opened = self._opened(stage, change, setup)
            if opened is None:
                continue
            bench, value = opened
            found = compare(self._champion, bench, self._cases_of(change), self.effort)
            entry = _Finalist(found.ratio, setup, bench, _trial(stage, change, value, found))
            if found.ratio >= 1:
                self._tell(entry.trial)
                continue
            finalists = sorted([*finalists, entry], key=lambda one: one.ratio)
            for left_out in finalists[_MOST_FINALISTS:]:
                self._tell(replace(left_out.trial, verdict=_BEHIND))
            del finalists[_MOST_FINALISTS:]
        if finalists:
            self._decide(finalists, self._cases_of(changes[0]))

    def _decide(self, finalists: Sequence[_Finalist], cases: Sequence[int]) -> None:
        """Keep the fastest of them, if it gains now too."""
        effort = self.effort.of_several(len(finalists))
        found = compare_all(self._champion, [one.bench for one in finalists], cases, effort)
        fastest = min(range(len(found)), key=lambda index: found[index].ratio)
        for index, (one, comparison) in enumerate(zip(finalists, found, strict=True)):
            verdict = _verdict(comparison)
            if verdict == "kept" and index != fastest:
                verdict = _BEHIND
            self._tell(replace(one.trial, gain=1 / comparison.ratio, verdict=verdict, num_rounds=comparison.num_rounds))
            if verdict == "kept":
                self._best, self._champion = one.setup, one.bench

    def _tell(self, trial: Trial) -> None:
        self.trials.append(trial)
        self.on_trial(trial)

    def _cases_of(self, change: Change) -> Sequence[int]:
        return change.cases or tuple(self.scope.workload.cases)

    def _opened(self, stage: str, change: Change, setup: Setup) -> tuple[Bench, float] | None:
        """A setup that answers right, with its cosine; None, and told why, where it does not."""
        try:
            bench = self.scope.workload.open(setup)
            value = cosine(self._reference, self._answers(bench))
        except HeadwayError as error:
            self._tell(Trial(stage, change.name, None, None, f"does not run: {_first_sentence(error)}"))
            return None
        refusal = self._refusal(setup, value)
        if refusal is not None:
            self._tell(Trial(stage, change.name, None, value, refusal))
            return None
        return bench, value

    def _compared(self, bench: Bench, cases: Sequence[int]) -> Comparison:
        """Beside the champion; what seems faster must be so twice, for among many tries luck wins some."""
        found = compare(self._champion, bench, cases, self.effort)
        if _verdict(found) != "kept":
            return found
        again = compare(self._champion, bench, cases, self.effort)
        return again if again.ratio > found.ratio or not again.is_consistent else found

    def _refusal(self, setup: Setup, value: float) -> str | None:
        least = self.limits.min_cosine(self.scope.workload.artifact, setup.dtype, setup.precision)
        if least is not None and value < least:
            return f"refused: cosine {value:.5f}, at least {least} wanted"
        own = self._own_cosines.setdefault(_own_key(setup), value)
        if has_drifted(value, own):
            return f"refused: cosine {value:.7f}, {own:.7f} untuned"
        return None


def _trial(stage: str, change: Change, value: float, found: Comparison) -> Trial:
    return Trial(stage, change.name, 1 / found.ratio, value, _verdict(found), found.num_rounds)


def _own_key(setup: Setup) -> tuple[str, str, str | None]:
    return setup.dtype, setup.device, setup.precision


def _verdict(found: Comparison) -> str:
    if found.ratio <= 1 - MIN_GAIN and found.is_consistent:
        return "kept"
    return "slower" if found.ratio > 1 + MIN_GAIN else "no gain"


def _first_sentence(error: Exception) -> str:
    return str(error).strip().partition(". ")[0][:200]
