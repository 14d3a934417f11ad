"""A large batch cut into runs of its rows: small enough for the caches, and side by side on several threads.

Threads that share each operator wait for one another at its end. A session with one thread runs on the thread that
calls it, so with a part of the batch for each thread nobody waits. What pays on a machine is measured by
``headway tune``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .manifest import TensorSpec

Array = NDArray[Any]
Feeds = Mapping[str, Array]
Run = Callable[[Feeds, Sequence[str]], list[Array]]


@dataclass(frozen=True)
class RunPlan:
    """How batches of some size run.

    Args:
        from_tokens: the smallest batch it is for, in padded tokens (rows, for inputs without a sequence).
        run_tokens: most padded tokens of a run; None runs a stream's share at once.
        num_streams: runs at the same time, one thread each; 1 runs one after another on the session's threads.
    """

    from_tokens: int = 0
    run_tokens: int | None = None
    num_streams: int = 1

    def rows_per_run(self, num_rows: int, row_tokens: int) -> int:
        """Rows of each run of a batch."""
        rows = -(-num_rows // self.num_streams)
        return rows if self.run_tokens is None else max(1, min(rows, self.run_tokens // row_tokens))


WHOLE = RunPlan()
"""The whole batch at once."""


def plan_for(num_tokens: int, plans: Sequence[RunPlan]) -> RunPlan:
    """The plan of the largest ``from_tokens`` that a batch reaches.

    >>> plan_for(600, [RunPlan(), RunPlan(512, num_streams=2)]).num_streams
    2
    """
    reached = [plan for plan in plans if plan.from_tokens <= num_tokens]
    return max(reached, key=lambda plan: plan.from_tokens, default=WHOLE)


class BatchRuns:
    """Runs batches by plan, and puts the rows of the outputs together again.

    Args:
        plans: for batches of each size.
        inputs: of the graph; see :func:`has_independent_rows`.
        run: a run on the session's own threads.
        run_alone: a run on the thread that calls; several may be in progress.
    """

    def __init__(self, plans: Sequence[RunPlan], inputs: Sequence[TensorSpec], run: Run, run_alone: Run) -> None:
        self._plans = tuple(plans)
        self._main = inputs[0]
        self._run, self._run_alone = run, run_alone
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def run(self, feeds: Feeds, output_names: Sequence[str]) -> list[Array]:
        """The outputs of the whole batch."""
        main = feeds.get(self._main.name)
        if main is None or main.ndim == 0 or len(main) < 2:
            return self._run(feeds, output_names)
        row_tokens = max(1, self._row_tokens(main))
        plan = plan_for(len(main) * row_tokens, self._plans)
        parts = _parts(feeds, len(main), plan.rows_per_run(len(main), row_tokens))
        if len(parts) == 1:
            return self._run(feeds, output_names)
        if plan.num_streams == 1:
            results = [self._run(part, output_names) for part in parts]
        else:
            results = self._side_by_side(parts, output_names, plan.num_streams)
        return [np.concatenate(outputs) for outputs in zip(*results, strict=True)]

    def _row_tokens(self, main: Array) -> int:
        """Padded tokens of a row; 1 where the input has no sequence, such as an image of fixed size."""
        has_sequence = main.ndim > 1 and isinstance(self._main.shape[1], str)
        return int(main.shape[1]) if has_sequence else 1

    def _side_by_side(self, parts: Sequence[Feeds], names: Sequence[str], num_streams: int) -> list[list[Array]]:
        shares = [range(first, len(parts), num_streams) for first in range(min(num_streams, len(parts)))]

        def run_share(share: range) -> list[list[Array]]:
            return [self._run_alone(parts[index], names) for index in share]

        others = [self._threads(num_streams).submit(run_share, share) for share in shares[1:]]
        done = [run_share(shares[0]), *(other.result() for other in others)]
        results: list[list[Array]] = [[] for _ in parts]
        for share, outputs in zip(shares, done, strict=True):
            for index, output in zip(share, outputs, strict=True):
                results[index] = output
        return results

    def _threads(self, num_streams: int) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                most = max(num_streams, *(plan.num_streams for plan in self._plans))
                self._pool = ThreadPoolExecutor(most, thread_name_prefix="headway-rows")
            return self._pool


def has_independent_rows(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
    """Whether the first axis of every input and output is one and the same, so that rows can run by themselves."""
    first_axes = {spec.shape[0] if spec.shape else None for spec in (*inputs, *outputs)}
    return len(first_axes) == 1 and isinstance(next(iter(first_axes)), str)


def _parts(feeds: Feeds, num_rows: int, rows_per_run: int) -> list[Feeds]:
    """The feeds of each run, of nearly equal numbers of rows."""
    num_parts = -(-num_rows // rows_per_run)
    cuts = [num_rows * part // num_parts for part in range(num_parts + 1)]
    return [{name: array[start:end] for name, array in feeds.items()} for start, end in pairwise(cuts)]
