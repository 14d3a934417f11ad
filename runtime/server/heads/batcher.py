"""The batcher: one thread for each model that takes what many clients ask and runs it together.

Requests wait in a bounded queue. A round takes all that is there, tokenizes each by itself (an error is that request's
alone), and runs rows of all of them within a budget of tokens; a large request takes several rounds, so that small ones
do not wait for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ...errors import HeadwayError, OptionError
from ...pipelines.encode import CutLog
from ...pipelines.windows import Window
from ..faults import BusyError, UnavailableError, WorkerDiedError
from ..settings import HeadSettings
from .adaptive_wait import AdaptiveWait
from .rounds import Share, run_together

logger = logging.getLogger("headway")

Result = TypeVar("Result")


@dataclass
class Timings:
    """Seconds that a request spent waiting, in the tokenizer, and from then to its result."""

    queue_s: float = 0.0
    tokenization_s: float = 0.0
    inference_s: float = 0.0


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
Deliver = Callable[[list[tuple["Job", Outcome]]], None]


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


class HeadBatcher:
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
        self.name = name
        self.num_deaths = 0
        self._observe_round = observe_round
        self._arrived = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._active: dict[Job, Share] = {}
        self._outbox: list[tuple[Job, Outcome]] = []
        self._wait = AdaptiveWait(settings.max_wait_s)
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name=f"headway-heads-{name}", daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        """Requests that no round has taken yet."""
        return len(self._waiting)

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
        with self._arrived:
            if self._is_closing:
                raise UnavailableError(f"{self.name} is stopping; send the request to another server.")
            if len(self._waiting) >= self.settings.max_waiting:
                raise BusyError(
                    f"{len(self._waiting)} requests wait for {self.name}; at most {self.settings.max_waiting} may. "
                    "Try again later."
                )
            self._waiting.append(job)
            self._arrived.notify()

    def close(self, timeout_s: float | None = None) -> None:
        """Finish what is queued and running, then end the thread."""
        with self._arrived:
            self._is_closing = True
            self._arrived.notify()
        self._thread.join(timeout_s)

    def abort(self) -> None:
        """Drop everything that is queued or running; for the end of the time that a shutdown may take."""
        with self._arrived:
            for job in (*self._waiting, *self._active):
                job.cancel()
            self._is_closing = True
            self._arrived.notify()

    def _work(self) -> None:
        while self._has_work():
            try:
                self._round()
            except Exception as error:
                self._start_again(error)
            self._post()

    def _has_work(self) -> bool:
        """Wait for a request, and under load a moment for others; False once closing and nothing is left."""
        with self._arrived:
            while not self._waiting and not self._active:
                if self._is_closing:
                    return False
                self._arrived.wait()
            if not self._active and self._wait.seconds:
                self._wait_for_others()
        return True

    def _wait_for_others(self) -> None:
        end = time.monotonic() + self._wait.seconds
        while len(self._waiting) < self._wait.expected_requests and not self._is_closing:
            rest = end - time.monotonic()
            if rest <= 0 or not self._arrived.wait(rest):
                return

    def _round(self) -> None:
        self._take_in()
        self._run_calls()
        self._run_rows()

    def _take_in(self) -> None:
        """Tokenize what has arrived, until there is enough for a round."""
        self._active = {job: share for job, share in self._active.items() if not job.is_cancelled}
        num_tokens = 0
        num_taken = len(self._active)
        while num_tokens < self.settings.max_round_tokens:
            with self._arrived:
                job = self._waiting.popleft() if self._waiting else None
            if job is None:
                break
            if job.is_cancelled:
                continue
            num_taken += 1
            job.timings.queue_s = time.monotonic() - job.arrived_at
            if job.call is not None:
                self._finish(job, job.call)
                break
            num_tokens += self._prepare(job)
        self._wait.record(num_taken)

    def _prepare(self, job: Job) -> int:
        """Tokenize one request; how many tokens it has."""
        started = time.monotonic()
        share = self._attempt(job, lambda: _share(job))
        job.timings.tokenization_s = time.monotonic() - started
        if share is None:
            return 0
        self._active[job] = share
        return share.num_tokens

    def _run_calls(self) -> None:
        """Run the first request that cannot share a batch."""
        alone = next((job for job, share in self._active.items() if not share.can_merge), None)
        if alone is not None:
            self._finish(alone, self._active[alone].results_alone)

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
            self._observe_round(len(shares[0].rows), shares[0].num_tokens)
            self._finish(jobs[0], shares[0].results_alone)
            return
        self._observe_round(*run_together(shares, self.settings.max_round_tokens))
        for job, share in zip(jobs, shares, strict=True):
            if share.is_done:
                self._finish(job, share.results)

    def _finish(self, job: Job, results: Callable[[], Any]) -> None:
        share = self._active.pop(job, None)
        num_tokens = share.num_tokens if share else 0
        outcome = self._attempt(job, lambda: HeadResult(results(), num_tokens, job.timings))
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

    def _post(self) -> None:
        """Hand over what the round produced, in one call for each receiver."""
        outbox, self._outbox = self._outbox, []
        by_receiver: dict[Deliver, list[tuple[Job, Outcome]]] = {}
        for job, outcome in outbox:
            by_receiver.setdefault(job.deliver, []).append((job, outcome))
        for deliver, outcomes in by_receiver.items():
            deliver(outcomes)

    def _start_again(self, error: Exception) -> None:
        """A round broke down: answer those that were in it, and go on."""
        died = self._breakdown(error)
        self._outbox.extend((job, died) for job in self._active)
        self._active = {}

    def _breakdown(self, error: Exception) -> WorkerDiedError:
        self.num_deaths += 1
        logger.error("%s broke down (%s) and was started again.", self.name, type(error).__name__)
        logger.debug("What broke down.", exc_info=error)
        return WorkerDiedError(f"{self.name} broke down while it answered; it was started again. Try again.")


def _share(job: Job) -> Share:
    """The job's inputs, tokenized."""
    options = job.pipeline.merged(job.options)
    window = Window(list(job.items), is_single=len(job.items) == 1)
    try:
        prepared = job.pipeline.prepare(window, options, CutLog())
    except HeadwayError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        # Options of a client's making that a head does not check one by one.
        raise OptionError(f"The inputs or options cannot be used together ({type(error).__name__}).") from error
    return Share(job.pipeline, prepared, options, len(job.items))
