"""The search: one change at a time on top of the best so far, kept where it is faster and the answers stay right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ..errors import HeadwayError
from .accuracy import Answers, Limits, cosine, has_drifted
from .benches import Bench
from .choices import STAGES, Change, Scope, spread_out
from .setup import Setup
from .timing import Comparison, Effort, compare

MIN_GAIN = 0.02
"""Share of the time that a change must save."""

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
        verdict: ``"kept"``, ``"no gain"``, ``"slower"``, or why it was refused.
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
            for change in changes:
                self._consider(stage, change)
        sizes = [shape.num_tokens for shape in self.scope.workload.shapes]
        return replace(self._best, runs=spread_out(self._best.runs, sizes))

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
        trial, bench = self._tried(stage, change, setup)
        self.trials.append(trial)
        self.on_trial(trial)
        if trial.is_kept and bench is not None:
            self._best, self._champion = setup, bench

    def _tried(self, stage: str, change: Change, setup: Setup) -> tuple[Trial, Bench | None]:
        try:
            bench = self.scope.workload.open(setup)
            value = cosine(self._reference, self._answers(bench))
        except HeadwayError as error:
            return Trial(stage, change.name, None, None, f"does not run: {_first_sentence(error)}"), None
        refusal = self._refusal(setup, value)
        if refusal:
            return Trial(stage, change.name, None, value, refusal), None
        found = self._compared(bench, change.cases or tuple(self.scope.workload.cases))
        return Trial(stage, change.name, 1 / found.ratio, value, _verdict(found), found.num_rounds), bench

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


def _own_key(setup: Setup) -> tuple[str, str, str | None]:
    return setup.dtype, setup.device, setup.precision


def _verdict(found: Comparison) -> str:
    if found.ratio <= 1 - MIN_GAIN and found.is_consistent:
        return "kept"
    return "slower" if found.ratio > 1 + MIN_GAIN else "no gain"


def _first_sentence(error: Exception) -> str:
    return str(error).strip().partition(". ")[0][:200]
