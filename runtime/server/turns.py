"""What the threads that run models share: a bounded queue, turns until it is empty, and results handed over."""

from __future__ import annotations

import abc
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from .faults import BusyError, UnavailableError, WorkerDiedError

logger = logging.getLogger("headway")

Deliver = Callable[[list[tuple[Any, Any]]], None]


class Owner(Protocol):
    """A request whose results are handed over."""

    @property
    def deliver(self) -> Deliver:
        """Takes pairs of requests and their outcomes, called in the thread that runs the model."""

    def cancel(self) -> None:
        """Leave: nothing more is run for it."""


Entry = TypeVar("Entry")


class TurnThread(abc.ABC, Generic[Entry]):
    """A thread that takes turns while there is work, and outlives a turn that breaks down.

    Other threads only put entries in. A subclass sets up what its turns need and then calls ``__init__``, which starts
    the thread.

    Args:
        name: the model's, for messages.
        thread_name: for debuggers.
    """

    def __init__(self, name: str, thread_name: str) -> None:
        self.name = name
        self.num_deaths = 0
        self._arrived = threading.Condition()
        self._waiting: deque[Entry] = deque()
        self._outbox: list[tuple[Owner, Any]] = []
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name=thread_name, daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        """Entries that no turn has taken yet."""
        return len(self._waiting)

    @property
    @abc.abstractmethod
    def num_running(self) -> int:
        """Entries that turns are working on."""

    def close(self, timeout_s: float | None = None) -> None:
        """Finish what is queued and running, then end the thread."""
        with self._arrived:
            self._is_closing = True
            self._arrived.notify()
        self._thread.join(timeout_s)

    def abort(self) -> None:
        """Drop everything that is queued or running; for the end of the time that a shutdown may take."""
        with self._arrived:
            for owner in self._owners():
                owner.cancel()
            self._is_closing = True
            self._arrived.notify()

    @abc.abstractmethod
    def _turn(self) -> None:
        """Take in what waits and run a piece of it."""

    @abc.abstractmethod
    def _give_up(self) -> Iterable[Owner]:
        """Forget what was running when a turn broke down; whose it was."""

    @abc.abstractmethod
    def _owners(self) -> Iterable[Owner]:
        """Whose everything is that is queued or running."""

    def _wait_for_others(self) -> None:
        """Called with the queue's lock when there is work: a chance to let more of it gather."""

    def _put(self, entries: Sequence[Entry], max_waiting: int, entries_name: str, retry_after_s: int = 1) -> None:
        """Queue all entries, or none.

        Raises:
            BusyError: too many wait already.
            UnavailableError: the thread is ending.
        """
        with self._arrived:
            if self._is_closing:
                raise UnavailableError(f"{self.name} is stopping; send the request to another server.")
            if len(self._waiting) + len(entries) > max_waiting:
                raise BusyError(
                    f"{len(self._waiting)} {entries_name} wait for {self.name}; at most {max_waiting} may. "
                    "Try again later.",
                    retry_after_s,
                )
            self._waiting.extend(entries)
            self._arrived.notify()

    def _take(self) -> Entry | None:
        """The entry that waits longest, or None."""
        with self._arrived:
            return self._waiting.popleft() if self._waiting else None

    def _work(self) -> None:
        while self._has_work():
            try:
                self._turn()
            except Exception as error:
                died = self._breakdown(error)
                self._outbox.extend((owner, died) for owner in self._give_up())
            self._post()

    def _has_work(self) -> bool:
        """Wait for an entry; False once closing and nothing is left."""
        with self._arrived:
            while not self._waiting and not self.num_running:
                if self._is_closing:
                    return False
                self._arrived.wait()
            self._wait_for_others()
        return True

    def _post(self) -> None:
        """Hand over what the turn produced."""
        outbox, self._outbox = self._outbox, []
        hand_over(outbox)

    def _breakdown(self, error: Exception) -> WorkerDiedError:
        self.num_deaths += 1
        logger.error("%s broke down (%s) and was started again.", self.name, type(error).__name__)
        logger.debug("What broke down.", exc_info=error)
        return WorkerDiedError(f"{self.name} broke down while it answered; it was started again. Try again.")


def hand_over(outcomes: Iterable[tuple[Any, Any]]) -> None:
    """Deliver outcomes, each beside its owner, in one call for each receiver."""
    by_receiver: dict[Deliver, list[tuple[Any, Any]]] = {}
    for owner, outcome in outcomes:
        by_receiver.setdefault(owner.deliver, []).append((owner, outcome))
    for deliver, delivered in by_receiver.items():
        deliver(delivered)
