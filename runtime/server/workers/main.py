"""A worker process: loads one artifact and answers what comes over its socket, until the server is gone."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from ...errors import HeadwayError
from ..local_model import LocalModel
from ..served_model import Cancel, Levels
from .channel import Channel
from .messages import Busyness, Failure, Leave, Load, Loaded, Outcomes, RunHead, RunSequences, ends_sequence

logger = logging.getLogger("headway")

_LEVELS_INTERVAL_S = 0.2


def main(descriptor: int) -> None:
    """Serve the socket with this file descriptor; the process ends here, without the libraries' clean-up."""
    # The server decides when its workers end: both get the signals of a terminal or a container.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    status = 1
    try:
        _serve(Channel(Connection(descriptor)))
        status = 0
    except (EOFError, OSError):
        status = 0
    except Exception as error:
        logger.error("A worker failed with %s.", type(error).__name__, exc_info=logger.isEnabledFor(logging.DEBUG))
    finally:
        sys.stderr.flush()
        os._exit(status)


def _serve(channel: Channel) -> None:
    load: Load = channel.receive()
    _log_on_stderr(load.log_level)
    rounds: list[tuple[int, int]] = []
    try:
        model = LocalModel.load(
            load.name, load.folder, load.settings, lambda name, rows, tokens: rounds.append((rows, tokens))
        )
    except HeadwayError as error:
        channel.send(Failure.of(error))
        return
    channel.send(Loaded(model.facts))
    worker = _Worker(model, channel, rounds)
    for message in channel.messages():
        worker.take(message)


class _Worker:
    """The requests of one model, by number.

    Args:
        model: where they run.
        channel: where they come from.
        rounds: rows and tokens of batches that ran, which the server has not been told of.
    """

    def __init__(self, model: LocalModel, channel: Channel, rounds: list[tuple[int, int]]) -> None:
        self._model = model
        self._channel = channel
        self._rounds = rounds
        self._requests: dict[int, _Request] = {}
        self._actions: Mapping[type, Callable[[Any], None]] = {
            RunHead: self._run_head,
            RunSequences: self._run_sequences,
            Leave: self._leave,
        }
        threading.Thread(target=self._report_levels, name="headway-levels", daemon=True).start()

    def take(self, message: Any) -> None:
        """Do what a message asks for."""
        self._actions[type(message)](message)

    def _run_head(self, message: RunHead) -> None:
        request = _Request(message.number, 1)
        self._start(request, lambda: self._model.start_head(message.request, self._deliver, request.receive))

    def _run_sequences(self, message: RunSequences) -> None:
        request = _Request(message.number, len(message.requests))

        def start() -> Cancel:
            sequences = [self._model.sequence(wanted) for wanted in message.requests]
            return self._model.start_sequences(sequences, self._deliver, request.receive)

        self._start(request, start)

    def _start(self, request: _Request, start: Callable[[], Cancel]) -> None:
        self._requests[request.number] = request
        try:
            request.cancel = start()
        except HeadwayError as error:
            self._requests.pop(request.number, None)
            self._channel.send(Outcomes([(request.number, Failure.of(error))], []))

    def _leave(self, message: Leave) -> None:
        request = self._requests.pop(message.number, None)
        if request is not None:
            request.cancel()

    def _deliver(self, outcomes: list[tuple[Any, Any]]) -> None:
        """Send what a turn produced; called in the model's threads."""
        try:
            self._send(outcomes)
        except OSError:
            # The server is gone, and with it whoever waits.
            return
        except Exception:
            # Without this the thread would end and its requests wait for ever; the server starts a new process.
            logger.exception("A worker cannot send what it has.")
            os._exit(1)

    def _send(self, outcomes: list[tuple[Any, Any]]) -> None:
        sent = [owner.receive(outcome) for owner, outcome in outcomes]
        for request, _ in sent:
            if not request.num_open:
                self._requests.pop(request.number, None)
        rounds = self._rounds[:]
        del self._rounds[: len(rounds)]
        self._channel.send(Outcomes([(request.number, outcome) for request, outcome in sent], rounds))

    def _report_levels(self) -> None:
        last = Levels()
        while True:
            time.sleep(_LEVELS_INTERVAL_S)
            levels = self._model.levels
            if levels != last:
                last = levels
                try:
                    self._channel.send(Busyness(levels))
                except OSError:
                    return


class _Request:
    """A request of the server's."""

    def __init__(self, number: int, num_open: int) -> None:
        self.number = number
        self.num_open = num_open
        self.cancel: Cancel = lambda: None

    def receive(self, outcome: Any) -> tuple[_Request, Any]:
        """Whose an outcome is, and the outcome ready to travel."""
        if isinstance(outcome, HeadwayError):
            self.num_open = 0
            return self, Failure.of(outcome)
        self.num_open -= ends_sequence(outcome)
        return self, outcome


def _log_on_stderr(level: int) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("headway: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(level)


if __name__ == "__main__":
    main(int(sys.argv[1]))
