"""The batcher: one thread for each model that takes what many clients ask and runs it together.

Requests wait in a bounded queue. A round takes all that is there, tokenizes them (an error is one request's alone), and
runs rows of all of them within a budget of tokens; a large request takes several rounds, so that small ones do not wait
for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from ...errors import HeadwayError
from ..settings import HeadSettings
from ..turns import Deliver, TurnThread
from .adaptive_wait import AdaptiveWait
from .rounds import Share, joined, run_together
from .tokenizing import asks_the_same, blaming_options, is_plain, share_of, shares_of

Result = TypeVar("Result")

# Requests a round, lately, that show a load which is worth a second session.
_CROWD_REQUESTS = 8


@dataclass
class Timings:
    """Seconds that a request spent waiting, in the tokenizer, and from then to its result; and its last batch."""

    queue_s: float = 0.0
    tokenization_s: float = 0.0
    inference_s: float = 0.0
    num_batch_rows: int = 0
    num_batch_tokens: int = 0


@dataclass(frozen=True)
class HeadResult:
    """What a request gets.

    Args:
        results: one for each input, or whatever a call returned.
        num_tokens: tokens of all inputs, special ones counted.
        timings: where the time went.
    """

    results: Any
    num_tokens: int
    timings: Timings


Outcome = HeadResult | HeadwayError


@dataclass(eq=False)
class Job:
    """One request.

    Args:
        deliver: takes results, called in the batcher's thread.
        receive: takes the job's own result, called by ``deliver`` where results belong.
        pipeline: the head; None where ``call`` is to be run.
        items: its inputs.
        options: of the pipeline's call.
        call: runs instead, for what is no pipeline's work but the model's.
    """

    deliver: Deliver
    receive: Callable[[Outcome], None]
    pipeline: Any = None
    items: Sequence[Any] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    call: Callable[[], Any] | None = None
    is_cancelled: bool = False
    arrived_at: float = field(default_factory=time.monotonic)
    timings: Timings = field(default_factory=Timings)

    def cancel(self) -> None:
        """Leave: nothing more is run for it."""
        self.is_cancelled = True


class HeadBatcher(TurnThread[Job]):
    """Runs requests of many clients on one model.

    Args:
        settings: limits.
        name: the model's, for the thread and messages.
        observe_round: told of each round's rows and tokens.
    """

    def __init__(
        self, settings: HeadSettings, name: str, observe_round: Callable[[int, int], None] = lambda rows, tokens: None
    ) -> None:
        self.settings = settings
        self._observe_round = observe_round
        self._active: dict[Job, Share] = {}
        self._wait = AdaptiveWait(settings.max_wait_s)
        super().__init__(name, f"headway-heads-{name}")

    @property
    def num_running(self) -> int:
        """Requests that rounds are working on."""
        return len(self._active)

    def submit(self, job: Job) -> None:
        """Queue a request.

        Raises:
            BusyError: too many wait already.
            UnavailableError: the batcher is closing.
        """
        self._put((job,), self.settings.max_waiting, "requests")

    def _wait_for_others(self) -> None:
        """Under load, a moment in which the stragglers of the last round come."""
        if self._active or not self._wait.seconds:
            return
        end = time.monotonic() + self._wait.seconds
        while len(self._waiting) < self._wait.expected_requests and not self._is_closing:
            rest = end - time.monotonic()
            if rest <= 0 or not self._arrived.wait(rest):
                return

    def _turn(self) -> None:
        started = time.monotonic()
        num_requests = self._take_in()
        self._run_calls()
        self._run_rows()
        self._wait.record(num_requests, time.monotonic() - started)

    def _take_in(self) -> int:
        """Tokenize what has arrived, until there is enough for a round; how many requests are in it."""
        self._active = {job: share for job, share in self._active.items() if not job.is_cancelled}
        num_tokens = 0
        num_taken = len(self._active)
        while num_tokens < self.settings.max_round_tokens:
            jobs = self._take_alike(self.settings.max_round_tokens - num_tokens)
            if not jobs:
                break
            num_taken += len(jobs)
            if jobs[0].call is not None:
                self._finish(jobs[0], jobs[0].call)
                break
            num_tokens += self._prepare(jobs)
        return num_taken

    def _take_alike(self, max_characters: int) -> list[Job]:
        """The next request, and those behind it that can be tokenized with it: a text has fewer tokens than letters."""
        jobs: list[Job] = []
        num_characters = 0
        now = time.monotonic()
        with self._arrived:
            while self._waiting:
                job = self._waiting[0]
                if not job.is_cancelled:
                    if jobs and not (is_plain(job) and asks_the_same(job, jobs[0]) and num_characters < max_characters):
                        break
                    job.timings.queue_s = now - job.arrived_at
                    jobs.append(job)
                    num_characters += len(job.items[0]) if is_plain(job) else max_characters
                self._waiting.popleft()
        return jobs

    def _prepare(self, jobs: Sequence[Job]) -> int:
        """Tokenize requests; how many tokens they have."""
        started = time.monotonic()
        shares: Sequence[Share | None] | None = shares_of(jobs) if len(jobs) > 1 else None
        if shares is None:
            shares = [self._attempt(job, partial(share_of, job)) for job in jobs]
        seconds = time.monotonic() - started
        for job, share in zip(jobs, shares, strict=True):
            job.timings.tokenization_s = seconds
            if share is not None:
                self._active[job] = share
        return sum(share.num_tokens for share in shares if share is not None)

    def _run_calls(self) -> None:
        """Run the first request that cannot share a batch."""
        alone = next((job for job, share in self._active.items() if not share.can_merge), None)
        if alone is not None:
            self._finish(alone, partial(blaming_options, self._active[alone].results_alone))

    def _run_rows(self) -> None:
        """Run rows of all others together, those of each pipeline by themselves."""
        groups: dict[int, list[Job]] = {}
        for job, share in self._active.items():
            if share.can_merge:
                groups.setdefault(id(share.pipeline), []).append(job)
        for jobs in groups.values():
            self._run_group(jobs)

    def _run_group(self, jobs: list[Job]) -> None:
        shares = [self._active[job] for job in jobs]
        if len(jobs) == 1 and shares[0].num_tokens <= self.settings.max_round_tokens and not shares[0].has_begun:
            self._note_round(jobs, len(shares[0].rows), shares[0].num_tokens)
            self._finish(jobs[0], shares[0].results_alone)
            return
        if self._wait.requests_per_round >= _CROWD_REQUESTS:
            shares[0].pipeline.runner.expect_more()
        share = joined(shares, self.settings.max_round_tokens)
        if share is not None and self._run_joined(jobs, share):
            return
        self._note_round(jobs, *run_together(shares, self.settings.max_round_tokens))
        for job, share in zip(jobs, shares, strict=True):
            if share.is_done:
                self._finish(job, share.results)

    def _run_joined(self, jobs: Sequence[Job], share: Share) -> bool:
        """Run requests as if they were one; False where that fails, and each has to say by itself what is wrong."""
        try:
            results = share.results_alone()
        except HeadwayError:
            return False
        self._note_round(jobs, len(share.rows), share.num_tokens)
        start = 0
        for job in jobs:
            end = start + self._active[job].num_items
            self._finish(job, partial(results.__getitem__, slice(start, end)))
            start = end
        return True

    def _note_round(self, jobs: Sequence[Job], num_rows: int, num_tokens: int) -> None:
        self._observe_round(num_rows, num_tokens)
        for job in jobs:
            job.timings.num_batch_rows, job.timings.num_batch_tokens = num_rows, num_tokens

    def _finish(self, job: Job, results: Callable[[], Any]) -> None:
        share = self._active.get(job)
        num_tokens = share.num_tokens if share else 0
        outcome = self._attempt(job, lambda: HeadResult(results(), num_tokens, job.timings))
        self._active.pop(job, None)
        timings = job.timings
        timings.inference_s = time.monotonic() - job.arrived_at - timings.queue_s - timings.tokenization_s
        if outcome is not None:
            self._outbox.append((job, outcome))

    def _attempt(self, job: Job, function: Callable[[], Result]) -> Result | None:
        """What the function gives; None where it failed, which the job has then been told."""
        try:
            return function()
        except HeadwayError as error:
            self._outbox.append((job, error))
        except Exception as error:
            self._outbox.append((job, self._breakdown(error)))
        return None

    def _give_up(self) -> Iterable[Job]:
        """A round broke down: forget those that were in it."""
        jobs, self._active = tuple(self._active), {}
        return jobs

    def _owners(self) -> Iterable[Job]:
        return (*self._waiting, *self._active)
