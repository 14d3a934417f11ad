"""Engines that take turns: all stay loaded, one works at a time, and who cannot take part is named with the reason."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .peers.catalogue import Peer
from .peers.engine import Settings
from .peers.environments import PeerUnavailableError, environment_python
from .peers.worker import Worker

# Long enough for the threads of the engine before to stop spinning.
_PAUSE_S = 0.05


@dataclass(frozen=True)
class Case:
    """One request that every engine gets.

    Args:
        name: in tables and plots.
        request: the fields that an engine's ``prepare`` takes.
        calls: how many of a turn are timed, one after the other.
        uncounted: calls of a turn before those: another engine had the CPU's caches until then.
        rounds: turns of each engine; None for the contest's own number.
    """

    name: str
    request: Mapping[str, Any]
    calls: int = 1
    uncounted: int = 0
    rounds: int | None = None


@dataclass
class Outcome:
    """What a contest found.

    Args:
        seconds: case → engine → for each round the seconds of its timed calls.
        answers: case → engine → its result, where it was asked for.
        facts: engine → seconds to load, bytes of its files, packages, and the most memory it held.
        unavailable: engine → why it did not take part, or left.
    """

    seconds: dict[str, dict[str, list[list[float]]]] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)


def by_group(peers: Sequence[Peer]) -> list[list[Peer]]:
    """The peers of each group: only they are compared, and only they have to fit into memory together."""
    groups = dict.fromkeys(peer.group for peer in peers)
    return [[peer for peer in peers if peer.group == group] for group in groups]


class Contest:
    """A context in which engines are loaded and take turns.

    Args:
        peers: who takes part; those that cannot be installed or loaded are left out, with the reason.
        kind: the function of a peer's module that makes the engine.
        settings_of: what each engine is started with.
        outcome: what is found is added to it; None begins a new one.
    """

    def __init__(
        self,
        peers: Sequence[Peer],
        kind: str,
        settings_of: Callable[[Peer], Settings],
        outcome: Outcome | None = None,
    ) -> None:
        self.outcome = Outcome() if outcome is None else outcome
        self._peers = {peer.name: peer for peer in peers}
        self._kind = kind
        self._settings_of = settings_of
        self._workers: dict[str, Worker] = {}

    def __enter__(self) -> Self:
        try:
            for peer in self._peers.values():
                self._start(peer)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def ask_all(self, case: Case) -> Mapping[str, Any]:
        """Every engine's answer to one request, untimed; it warms them up too."""
        answers = self.outcome.answers.setdefault(case.name, {})
        for name, worker in self._members(case):
            say(f"{case.name}: first call of {name}")
            result = self._guarded(name, partial(worker.measure, case.request, is_answer_wanted=True))
            if result is not None:
                answers[name] = result["result"]
        return answers

    def take_turns(self, cases: Sequence[Case], rounds: int) -> None:
        """Round after round, case after case, every engine in turn; the order is reversed every other round."""
        for number in range(max(case.rounds or rounds for case in cases)):
            say(f"round {number + 1}")
            for case in cases:
                if number < (case.rounds or rounds):
                    self._round(case, is_reversed=bool(number % 2))

    def trial(self, case: Case) -> float:
        """Seconds of one call of the slowest engine."""
        found = [0.0]
        for name, worker in self._members(case):
            turn = self._guarded(name, partial(worker.measure, case.request))
            found += turn["seconds"] if turn else []
        return max(found)

    def scores(self, rows: list[list[int]]) -> dict[str, list[list[float]]]:
        """Of every engine that gives them, the logarithms of the next tokens' probabilities."""
        found = {}
        for name, worker in list(self._workers.items()):
            say(f"scores of {name}")
            result = self._guarded(name, partial(worker.score, rows))
            if result is not None:
                found[name] = result
        return found

    def _start(self, peer: Peer) -> None:
        say(f"starting {peer.name}")
        try:
            python = Path(sys.executable) if peer.environment is None else environment_python(peer.environment)
            worker = Worker(python, peer.module, self._kind, self._settings_of(peer))
        except PeerUnavailableError as error:
            self._drop(peer.name, error)
            return
        self._workers[peer.name] = worker
        self.outcome.facts[peer.name] = dict(worker.facts)

    def _round(self, case: Case, is_reversed: bool) -> None:
        members = list(self._members(case))
        for name, worker in reversed(members) if is_reversed else members:
            time.sleep(_PAUSE_S)
            turn = self._guarded(name, partial(worker.measure, case.request, case.calls, case.uncounted))
            if turn is not None:
                self.outcome.seconds.setdefault(case.name, {}).setdefault(name, []).append(turn["seconds"])
                self.outcome.facts[name]["peak_memory_bytes"] = turn["peak_memory_bytes"]

    def _members(self, case: Case) -> Iterator[tuple[str, Worker]]:
        for name, worker in list(self._workers.items()):
            cases = self._peers[name].cases
            if cases is None or case.name in cases:
                yield name, worker

    def _guarded(self, name: str, ask: Callable[[], Any]) -> Any:
        """What an engine says, or None once it has died: the others go on."""
        try:
            return ask()
        except PeerUnavailableError as error:
            self._drop(name, error)
            return None

    def _drop(self, name: str, error: Exception) -> None:
        say(f"{name} is out: {error}")
        self.outcome.unavailable[name] = str(error)
        worker = self._workers.pop(name, None)
        if worker is not None:
            worker.close()

    def _close(self) -> None:
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()


def say(message: str) -> None:
    """Tell whoever watches what is being done; on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)
