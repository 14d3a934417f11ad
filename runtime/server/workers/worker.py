"""A worker process as its server sees it: started, spoken to, and started again when it dies."""

from __future__ import annotations

import itertools
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from ...errors import HeadwayError
from ..faults import BusyError, UnavailableError, WorkerDiedError
from ..model_facts import ModelFacts
from ..served_model import Cancel, Levels, Receive
from ..turns import Deliver, hand_over
from .channel import Channel
from .messages import Busyness, Failure, Leave, Load, Loaded, Outcomes, ends_sequence

logger = logging.getLogger("headway")

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_EXIT_TIMEOUT_S = 5.0
# A worker that lived this long has not died of its start.
_STABLE_S = 30.0


@dataclass(eq=False)
class _Pending:
    """A request that a worker has not answered in full."""

    deliver: Deliver
    receive: Receive
    num_open: int


class Worker:
    """A process that runs one model, and another one whenever it dies.

    Args:
        load: what it loads.
        observe_round: told of each batch's rows and tokens.

    Raises:
        HeadwayError: the model cannot be loaded.
        WorkerDiedError: the process died while it loaded the model.
    """

    def __init__(self, load: Load, observe_round: Callable[[int, int], None]) -> None:
        self.levels = Levels()
        self.num_deaths = 0
        self._load = load
        self._observe_round = observe_round
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._pending: dict[int, _Pending] = {}
        self._is_closing = False
        self._process, self._channel, self.facts = _start(load)
        self._is_ready = True
        self._keeper = threading.Thread(target=self._keep, name=f"headway-keeper-{load.name}", daemon=True)
        self._keeper.start()

    @property
    def is_ready(self) -> bool:
        """Whether the process has its model and takes requests."""
        return self._is_ready and not self._is_closing

    @property
    def process_id(self) -> int:
        """Of the process that runs now, or ran last."""
        return self._process.pid

    @property
    def num_pending(self) -> int:
        """Sequences, and requests for heads, that are not answered in full."""
        return sum(pending.num_open for pending in tuple(self._pending.values()))

    def start(
        self,
        make_message: Callable[[int], Any],
        num_open: int,
        deliver: Deliver,
        receive: Receive,
        max_pending: int | None = None,
    ) -> Cancel:
        """Send a request; what is called to leave.

        Args:
            make_message: the request under the number it gets.
            num_open: how many endings it has.
            deliver: takes what comes for many requests.
            receive: takes what comes for this one.
            max_pending: refuse it if there would be more than these; None never does.

        Raises:
            BusyError: too many are there already.
            UnavailableError: the process is being started again, or is ending.
        """
        with self._changed:
            if not self.is_ready:
                raise UnavailableError(f"{self._load.name} is being started or stopped; try again later.")
            if max_pending is not None and self.num_pending + num_open > max_pending:
                raise BusyError(f"{self.num_pending} sequences wait for {self._load.name}. Try again later.")
            number = next(self._numbers)
            self._pending[number] = _Pending(deliver, receive, num_open)
            self._channel.post(make_message(number))
        return lambda: self._leave(number)

    def close(self, timeout_s: float | None = None) -> None:
        """Take nothing more, wait for what was accepted, and end the process."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._pending, timeout_s)
        self._channel.hang_up()
        self._keeper.join(_EXIT_TIMEOUT_S)
        _end(self._process)

    def _leave(self, number: int) -> None:
        with self._changed:
            if self._pending.pop(number, None) is not None:
                self._channel.post(Leave(number))
                self._changed.notify_all()

    def _keep(self) -> None:
        """Listen to the process, and start another one whenever it has died."""
        pause_s = _FIRST_PAUSE_S
        while True:
            started = time.monotonic()
            for message in self._channel.messages():
                self._take(message)
            self._bury()
            if time.monotonic() - started > _STABLE_S:
                pause_s = _FIRST_PAUSE_S
            while not self._is_ready:
                with self._changed:
                    if self._changed.wait_for(lambda: self._is_closing, pause_s):
                        return
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                self._start_again()

    def _take(self, message: Any) -> None:
        if isinstance(message, Outcomes):
            for num_rows, num_tokens in message.rounds:
                self._observe_round(num_rows, num_tokens)
            self._hand_over(message)
        elif isinstance(message, Busyness):
            self.levels = message.levels

    def _hand_over(self, message: Outcomes) -> None:
        found: list[tuple[Any, Any]] = []
        with self._changed:
            for number, outcome in message.outcomes:
                pending = self._pending.get(number)
                if pending is None:
                    continue
                is_failure = isinstance(outcome, Failure)
                pending.num_open = 0 if is_failure else pending.num_open - ends_sequence(outcome)
                if not pending.num_open:
                    del self._pending[number]
                found.append((pending, outcome.error() if isinstance(outcome, Failure) else outcome))
            if not self._pending:
                self._changed.notify_all()
        hand_over(found)

    def _bury(self) -> None:
        """The process is gone: answer whoever waits for it."""
        with self._changed:
            self._is_ready = False
            lost, self._pending = tuple(self._pending.values()), {}
            self.levels = Levels()
            self._changed.notify_all()
        self._channel.close()
        _end(self._process)
        if self._is_closing and not lost:
            return
        self.num_deaths += 1
        name, how = self._load.name, _ending(self._process.returncode)
        logger.error("The process of %s died (%s); %d requests are answered 503.", name, how, len(lost))
        died = WorkerDiedError(f"{name} broke down while it answered; it is started again. Try again.")
        hand_over([(pending, died) for pending in lost])

    def _start_again(self) -> None:
        try:
            process, channel, facts = _start(self._load)
        except HeadwayError as error:
            logger.error("%s cannot be started again, and will be tried later: %s", self._load.name, error)
            return
        with self._changed:
            self._process, self._channel, self.facts = process, channel, facts
            self._is_ready = True
            is_closing = self._is_closing
        if is_closing:
            channel.hang_up()
        logger.warning("%s was started again.", self._load.name)


def _start(load: Load) -> tuple[subprocess.Popen[bytes], Channel, ModelFacts]:
    """A new process whose model is loaded."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "headway.runtime.server.workers.main", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    channel = Channel(Connection(ours.detach()))
    try:
        channel.send(load)
        answer = channel.receive()
    except (EOFError, OSError) as error:
        _end(process)
        raise WorkerDiedError(
            f"The process of {load.name} died while it loaded the model ({_ending(process.returncode)})."
        ) from error
    if isinstance(answer, Loaded):
        return process, channel, answer.facts
    channel.close()
    _end(process)
    raise answer.error()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that has nothing left to do, and kill it if it does not end."""
    try:
        process.wait(_EXIT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def least_busy(workers: Iterable[Worker]) -> Worker | None:
    """The worker that has least to do; the first of several, so that what it remembers is used; None where none is."""
    ready = [worker for worker in workers if worker.is_ready]
    return min(ready, key=lambda worker: worker.num_pending) if len(ready) > 1 else next(iter(ready), None)
