"""A model in processes of its own, which other models and the server outlive."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ...errors import HeadwayError
from ...threads import usable_cpu_count
from ..engine.sequence import Sequence
from ..faults import UnavailableError
from ..served_model import Cancel, HeadRequest, Levels, ObserveRound, Receive, ServedModel, open_tokenizer
from ..settings import ServerSettings
from ..turns import Deliver
from .messages import Load, RunHead, RunSequences
from .worker import Worker, least_busy


class RemoteModel(ServedModel):
    """A model that worker processes run.

    Args:
        name: what requests call it.
        folder: the artifact.
        tokenizer: its tokenizer.
        settings: limits.
        workers: at least one.
    """

    def __init__(
        self, name: str, folder: Path, tokenizer: Any, settings: ServerSettings, workers: Iterable[Worker]
    ) -> None:
        self.workers = tuple(workers)
        super().__init__(name, folder, self.workers[0].facts, tokenizer, settings.engine.max_context_tokens)
        self._max_sequences = settings.engine.max_waiting + settings.engine.max_sequences

    @classmethod
    def load(
        cls, name: str, folder: Path, settings: ServerSettings, observe_round: ObserveRound = lambda n, r, t: None
    ) -> RemoteModel:
        """Start the processes and wait until each has loaded the artifact.

        Raises:
            HeadwayError: it cannot be used.
        """
        tokenizer = open_tokenizer(folder)
        load = Load(name, folder, _for_worker(settings), logging.getLogger("headway").getEffectiveLevel())

        def start(number: int) -> Worker:
            return Worker(load, lambda rows, tokens: observe_round(name, rows, tokens))

        workers = [start(0)]
        with ThreadPoolExecutor(max(settings.num_workers, 1)) as pool:
            starting = [pool.submit(start, number) for number in range(1, settings.num_workers)]
        try:
            workers += [future.result() for future in starting]
        except HeadwayError:
            # All or none: those that did start would stay, and be nobody's.
            for worker in (*workers, *(future.result() for future in starting if future.exception() is None)):
                worker.close(0)
            raise
        return cls(name, folder, tokenizer, settings, workers)

    @property
    def is_ready(self) -> bool:
        """Whether a process takes requests."""
        return any(worker.is_ready for worker in self.workers)

    @property
    def levels(self) -> Levels:
        """How busy the processes said they are."""
        each = [worker.levels for worker in self.workers]
        return Levels(
            sum(levels.num_waiting for levels in each),
            sum(levels.num_running for levels in each),
            sum(levels.prefix_cache_bytes for levels in each),
            sum(levels.num_deaths for levels in each) + sum(worker.num_deaths for worker in self.workers),
        )

    def start_head(self, request: HeadRequest, deliver: Deliver, receive: Receive) -> Cancel:
        """Send a request for a head to the process that has least to do."""
        return self._worker().start(lambda number: RunHead(number, request), 1, deliver, receive)

    def start_sequences(self, sequences: Iterable[Sequence], deliver: Deliver, receive: Receive) -> Cancel:
        """Send sequences to the process that has least to do."""
        requests = tuple(sequence.request for sequence in sequences)
        # Refused here and not by the process: a streamed answer has begun by the time it could say so.
        return self._worker().start(
            lambda number: RunSequences(number, requests), len(requests), deliver, receive, self._max_sequences
        )

    def close(self, timeout_s: float | None = None) -> None:
        """Finish what was accepted, then end the processes; what is left after ``timeout_s`` is dropped."""
        threads = [threading.Thread(target=worker.close, args=(timeout_s,), daemon=True) for worker in self.workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _worker(self) -> Worker:
        worker = least_busy(self.workers)
        if worker is None:
            raise UnavailableError(f"{self.name} is being started again; try again later.")
        return worker


def _for_worker(settings: ServerSettings) -> ServerSettings:
    """Settings for a process: its share of the CPUs, no keys, and queues that hold whatever the server lets through."""
    engine = settings.engine
    load = dict(settings.load)
    if settings.num_workers > 1:
        load.setdefault("num_threads", max(1, usable_cpu_count() // settings.num_workers))
    return dataclasses.replace(
        settings,
        api_keys=(),
        load=load,
        engine=dataclasses.replace(engine, max_waiting=engine.max_waiting + engine.max_sequences),
    )
