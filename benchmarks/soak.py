"""A storm of random requests at a server: nothing hangs, nothing leaks, no answer is wrong.

``python -m headway.benchmarks.soak chat=DIR embedder=DIR --requests 10000`` starts ``headway serve``, asks every model
first alone and then from many clients at once, with clients that leave, bodies that are broken and requests that cannot
be, and compares each answer with the first one. ``--seconds`` goes on for a time instead. The memory of the server and
its workers is read all along; what it grows by once everything is warm is a leak.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

import httpx

from .soak_questions import Question, ask, questions_of, same_answer
from .soak_server import resident_bytes, serving

TIMEOUT_S = 120.0
_SAMPLE_INTERVAL_S = 0.5
_MEGABYTE = 1 << 20
# A process keeps what its allocator and caches once needed; what counts is growth that goes on.
ALLOWED_GROWTH = 0.10
ALLOWED_GROWTH_BYTES = 24 * _MEGABYTE


@dataclass
class Report:
    """What a storm showed.

    Args:
        statuses: how many requests had each outcome, ``left`` where the client did.
        wrong: answers that were not the first ones, with what was asked.
        hung: requests that were not answered in time.
        seconds: how long it took.
        resident_mb: memory of the server and its workers, over time.
        pending: requests that the server still counts when all clients are done.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    hung: list[str] = field(default_factory=list)
    seconds: float = 0.0
    resident_mb: list[float] = field(default_factory=list)
    pending: float = 0.0

    @property
    def growth_mb(self) -> float:
        """The most of the last quarter of the time over the most of the first half."""
        first_half = self.resident_mb[: len(self.resident_mb) // 2]
        last_quarter = self.resident_mb[-max(len(self.resident_mb) // 4, 1) :]
        return max(last_quarter, default=0.0) - max(first_half, default=0.0) if first_half else 0.0

    def to_json(self) -> str:
        """Everything, the judgement included."""
        return json.dumps({**vars(self), "growth_mb": self.growth_mb, "failures": self.failures}, indent=1)

    @property
    def failures(self) -> list[str]:
        """What was not as it should be."""
        found = [f"wrong: {one}" for one in self.wrong[:5]] + [f"not answered: {one}" for one in self.hung[:5]]
        found += [
            f"{number} answers of status {status}" for status, number in self.statuses.items() if status[0] == "5"
        ]
        if self.pending:
            found.append(f"the server still counts {self.pending:g} requests")
        limit = max(ALLOWED_GROWTH * max(self.resident_mb, default=0.0), ALLOWED_GROWTH_BYTES / _MEGABYTE)
        if self.growth_mb > limit:
            found.append(f"memory grew by {self.growth_mb:.0f} MB")
        return found


def storm(
    url: str,
    process_id: int | None,
    *,
    num_requests: int | None = None,
    seconds: float | None = None,
    num_clients: int = 8,
    seed: int = 0,
) -> Report:
    """Ask a server at random.

    Args:
        url: where it answers.
        process_id: whose memory is read, with its children; None reads none.
        num_requests: how many, unless a time is given.
        seconds: for how long.
        num_clients: how many at once.
        seed: of the requests.
    """
    with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
        questions = questions_of(client.get("/v1/models").json()["data"])
        alone = {question: _asked_alone(client, question) for question in questions if question.is_repeatable}
    report = Report()
    started = time.monotonic()
    numbers = _numbers(num_requests, None if seconds is None else started + seconds)
    lock = threading.Lock()

    def run_client(_: int) -> None:
        with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
            while (number := _next(numbers, lock)) is not None:
                question = Random(seed * 1_000_003 + number).choice(questions)
                _record(report, client, question, alone.get(question), lock)

    with _memory_read(report, process_id), ThreadPoolExecutor(num_clients) as pool:
        list(pool.map(run_client, range(num_clients)))
    report.seconds = time.monotonic() - started
    report.pending = _pending(url)
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Start a server, ask it, and print what it showed."""
    parser = argparse.ArgumentParser(description="A storm of random requests at a server.")
    parser.add_argument("models", nargs="+", metavar="[NAME=]DIR", help="artifacts to serve")
    parser.add_argument("--requests", type=int, default=10_000, help="how many (default: 10000)")
    parser.add_argument("--seconds", type=float, help="go on for a time instead")
    parser.add_argument("--clients", type=int, default=8, help="clients at once (default: 8)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes for each model; 0: none (default: 1)")
    given = parser.parse_args(arguments)
    with serving([*given.models, "--workers", str(given.workers)]) as (process_id, url):
        report = storm(
            url,
            process_id,
            num_requests=given.requests,
            seconds=given.seconds,
            num_clients=given.clients,
            seed=given.seed,
        )
    print(report.to_json())
    return 1 if report.failures else 0


def _asked_alone(client: httpx.Client, question: Question) -> Any:
    try:
        return ask(client, question)
    except httpx.TransportError:
        # A connection that was idle for long, as when this process was paused, is closed; the next one is fresh.
        return ask(client, question)


def _numbers(num_requests: int | None, end: float | None) -> Iterator[int]:
    for number in count():
        if time.monotonic() > end if end is not None else number >= (num_requests or 0):
            return
        yield number


def _next(numbers: Iterator[int], lock: threading.Lock) -> int | None:
    with lock:
        return next(numbers, None)


def _record(report: Report, client: httpx.Client, question: Question, first: Any, lock: threading.Lock) -> None:
    try:
        answer = ask(client, question)
    except httpx.TimeoutException:
        with lock:
            report.hung.append(question.name)
        return
    except httpx.TransportError:
        # The server closes on bodies that it does not read to the end.
        answer = ("closed", None)
    is_right = question.expects(answer[0]) and (first is None or same_answer(first, answer))
    with lock:
        report.statuses[str(answer[0])] += 1
        if not is_right:
            report.wrong.append(f"{question.name}: {str(answer)[:200]}")


@contextmanager
def _memory_read(report: Report, process_id: int | None) -> Iterator[None]:
    is_over = threading.Event()

    def read() -> None:
        while process_id is not None and not is_over.wait(_SAMPLE_INTERVAL_S):
            report.resident_mb.append(round(resident_bytes(process_id) / _MEGABYTE, 1))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _pending(url: str) -> float:
    """Requests that wait or run once everybody has gone; a moment is given for the last to leave."""
    names = ("headway_queue_size{", "headway_running{")
    found = 0.0
    for _ in range(50):
        lines = httpx.get(f"{url}/metrics", timeout=TIMEOUT_S).text.splitlines()
        found = sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(names))
        if not found:
            break
        time.sleep(0.1)
    return found


if __name__ == "__main__":
    sys.exit(main())
