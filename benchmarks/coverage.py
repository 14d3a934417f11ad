"""Coverage: every model type × head that transformers registers, exported, run and compared, one process each.

``python -m headway.benchmarks.coverage`` writes docs/coverage.json as it goes and docs/coverage.md from it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from .coverage_report import FAILED, OK, STATUSES, write_report

DOCS = Path(__file__).resolve().parents[1] / "docs"
# A process that waits for something takes no CPU time, so that only the clock ends it.
_WALL_TIME_FACTOR = 20
_PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime")


@dataclass
class _Running:
    pair: Any
    process: ForkProcess
    receiver: Connection
    deadline: float


class CoverageRun:
    """Runs pairs in forked processes and keeps every outcome on disk as soon as it is there.

    Args:
        path: the JSON file.
        jobs: processes at a time.
        timeout_s: CPU time a pair may take; a machine that is busy with other things does not count against it.
        memory_bytes: address space a pair may take.
    """

    def __init__(self, path: Path, *, jobs: int = 1, timeout_s: int = 300, memory_bytes: int = 16 << 30) -> None:
        self.path = path
        self.jobs = jobs
        self.timeout_s = timeout_s
        self.memory_bytes = memory_bytes
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.registered: dict[str, int] = {}
        self._context = multiprocessing.get_context("fork")

    def resume(self) -> None:
        """Take over the outcomes of an earlier run."""
        if self.path.is_file():
            data = json.loads(self.path.read_text(encoding="utf-8"))
            self.outcomes, self.registered = data["pairs"], data.get("registered", {})

    def is_due(self, pair: Any, again: Sequence[str] = ()) -> bool:
        """Whether a pair has no outcome yet, or one of those that are tried again."""
        outcome = self.outcomes.get(pair.key)
        return outcome is None or outcome["status"] in again

    def run(self, pairs: Iterable[Any]) -> None:
        """Run all pairs."""
        waiting = list(pairs)[::-1]
        total, running = len(waiting), list[_Running]()
        while waiting or running:
            while waiting and len(running) < self.jobs:
                running.append(self._start(waiting.pop()))
            next_deadline = min(entry.deadline for entry in running)
            wait([entry.receiver for entry in running], timeout=max(0.0, next_deadline - time.monotonic()))
            for entry in [entry for entry in running if self._is_over(entry)]:
                running.remove(entry)
                outcome = self._finish(entry)
                self.outcomes[entry.pair.key] = outcome
                self.keep()
                done = total - len(waiting) - len(running)
                _show(f"[{done}/{total}] {entry.pair}: {_described(outcome)}")

    def _start(self, pair: Any) -> _Running:
        receiver, sender = self._context.Pipe(duplex=False)
        arguments = (pair, sender, self.timeout_s, self.memory_bytes)
        process = self._context.Process(target=_check, args=arguments, daemon=True)
        process.start()
        sender.close()
        return _Running(pair, process, receiver, time.monotonic() + _WALL_TIME_FACTOR * self.timeout_s)

    def _is_over(self, entry: _Running) -> bool:
        return entry.receiver.poll() or time.monotonic() >= entry.deadline

    def _finish(self, entry: _Running) -> dict[str, Any]:
        try:
            outcome: dict[str, Any] = entry.receiver.recv() if entry.receiver.poll() else {}
        except EOFError:
            outcome = {}
        if not outcome and entry.process.is_alive():
            entry.process.kill()
            waited = _WALL_TIME_FACTOR * self.timeout_s
            outcome = {"status": FAILED, "reason": f"it was still waiting for something after {waited} s"}
        entry.process.join()
        entry.receiver.close()
        return outcome or {"status": FAILED, "reason": f"the process ended with {entry.process.exitcode}"}

    def to_dict(self) -> dict[str, Any]:
        """JSON form: versions that decide the outcomes, how many pairs each head has, and every outcome."""
        return {
            "packages": package_versions(),
            "registered": dict(sorted(self.registered.items())),
            "pairs": dict(sorted(self.outcomes.items())),
        }

    def keep(self) -> None:
        """Write everything known so far."""
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(self.path)


def package_versions() -> dict[str, str]:
    """Versions that decide the outcome."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    arguments = _parser().parse_args(argv)
    # Read when the libraries are imported; each process has one thread, so that forking is safe.
    os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    from . import coverage_warmup
    from .coverage_pairs import HEADS, named_pairs, registered_pairs

    coverage_warmup.import_everything()
    heads = () if arguments.pairs else arguments.heads or HEADS
    registered = {head: list(registered_pairs([head])) for head in heads}
    pairs = named_pairs(arguments.pairs or ())
    for found in registered.values():
        pairs += [pair for pair in found if not arguments.models or pair.model_type in arguments.models]
    arguments.output.mkdir(parents=True, exist_ok=True)
    run = CoverageRun(
        arguments.output / "coverage.json",
        jobs=arguments.jobs,
        timeout_s=arguments.timeout,
        memory_bytes=arguments.memory << 30,
    )
    if arguments.resume or arguments.again:
        run.resume()
        pairs = [pair for pair in pairs if run.is_due(pair, arguments.again)]
    run.registered |= {head: len(found) for head, found in registered.items()}
    run.run(pairs)
    run.keep()
    write_report(arguments.output / "coverage.md", run.to_dict(), HEADS)
    return 0


def _check(pair: Any, sender: Connection, cpu_seconds: int, memory_bytes: int) -> None:
    from .coverage_check import check_pair

    # Past the first limit a signal comes, which says where the time went; the second ends the process.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 20))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # Model code prints as it likes; the run's own lines are all that is wanted.
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    sender.send(check_pair(pair).to_dict())


def _described(outcome: Mapping[str, Any]) -> str:
    details = outcome["reason"] if outcome["status"] != OK else outcome.get("path", "")
    return f"{outcome['status']}, {outcome.get('seconds', 0)} s, {details}"


def _show(line: str) -> None:
    sys.stderr.write(line + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m headway.benchmarks.coverage", description=__doc__)
    parser.add_argument("--heads", nargs="+", help="heads, by their task (default: all)")
    parser.add_argument("--pairs", nargs="+", help="pairs alone, such as text-classification/bert")
    parser.add_argument("--models", nargs="+", help="model types (default: all)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes at a time")
    parser.add_argument("--timeout", type=int, default=300, help="seconds of CPU time a pair may take (default: 300)")
    parser.add_argument("--memory", type=int, default=16, help="GiB of address space a pair may take (default: 16)")
    parser.add_argument("--resume", action="store_true", help="keep the outcomes of an earlier run")
    parser.add_argument(
        "--again", nargs="+", choices=STATUSES, default=(), help="resume, but run pairs with these outcomes once more"
    )
    parser.add_argument("--output", type=Path, default=DOCS, help="folder of coverage.json and coverage.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
