"""A round: rows of several requests run as one list, and what comes out goes back to each request.

A pipeline tokenizes (``prepare``), runs rows through the graph (its ``runner``) and makes results (``complete``). Here
the middle is done for several requests together: rows are joined, the pipeline's own runner sorts and batches them, and
each request then completes on its own share of the outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ...batching import IntArray, PaddedBatch, Rows
from ...pipelines.embed import PromptedRows
from ...pipelines.progress import Progress
from ...pipelines.runner import BatchOutput

MERGED_TASKS = frozenset(
    {
        "embed",
        "feature-extraction",
        "fill-mask",
        "next-sentence-prediction",
        "question-answering",
        "rerank",
        "text-classification",
        "token-classification",
        "zero-shot-classification",
    }
)
"""Heads that run plain rows; multiple choice groups its rows, and encoder-decoders generate."""

WRITING_TASKS = frozenset({"summarization", "text2text-generation", "translation"})
"""Heads that write a text token by token, and can stop after each."""


class Share:
    """One request's rows: which have run, and their outputs.

    Args:
        pipeline: the head.
        prepared: what its ``prepare`` gave.
        options: the call's.
        num_items: how many inputs the request has.
    """

    def __init__(self, pipeline: Any, prepared: Any, options: Any, num_items: int) -> None:
        self.pipeline = pipeline
        self.prepared = prepared
        self.options = options
        self.num_items = num_items
        self.rows = rows_of(prepared) or _NO_ROWS
        self._outputs: list[BatchOutput] = []
        self._next_row = 0

    @property
    def can_merge(self) -> bool:
        """Whether its rows may run with those of other requests."""
        return self.pipeline.task in MERGED_TASKS and len(self.rows) > 0 and bool(self.rows.lengths.all())

    @property
    def has_begun(self) -> bool:
        """Whether rows have run."""
        return self._next_row > 0

    @property
    def is_done(self) -> bool:
        """Whether all rows have run."""
        return self._next_row == len(self.rows)

    @property
    def num_tokens(self) -> int:
        """Tokens of all rows."""
        return len(self.rows.ids)

    @cached_property
    def _order(self) -> IntArray:
        """Longest first, so that the rows of one round need little padding."""
        return np.argsort(-self.rows.lengths, kind="stable")

    def take(self, max_tokens: int) -> IntArray:
        """Numbers of the next rows to run, at least one, within a budget of tokens."""
        pending = self._order[self._next_row :]
        reached = np.cumsum(self.rows.lengths[pending])
        count = max(1, int(np.searchsorted(reached, max_tokens, side="right")))
        self._next_row += min(count, len(pending))
        return pending[:count]

    def add(self, batch: PaddedBatch, outputs: list[Any]) -> None:
        """Take outputs of some rows."""
        self._outputs.append((batch, outputs))

    def results(self) -> Sequence[Any]:
        """One result for each item, once all rows have run."""
        pipeline = copy.copy(self.pipeline)
        pipeline.runner = _Replayed(self._outputs)
        return self._completed_by(pipeline)

    def results_alone(self) -> Sequence[Any]:
        """One result for each item, run here and now by the pipeline itself."""
        self._next_row = len(self.rows)
        return self._completed_by(self.pipeline)

    def _completed_by(self, pipeline: Any) -> Sequence[Any]:
        results: Sequence[Any] = pipeline.complete(self.prepared, self.options, Progress(self.num_items, False))
        return results


_NO_ROWS = Rows.from_lists([])


class _Replayed:
    """A runner whose batches have run already."""

    def __init__(self, outputs: list[BatchOutput]) -> None:
        self._outputs = outputs

    def run(self, rows: Rows, options: Any, progress: Any = None) -> Iterator[BatchOutput]:
        """The batches, as :meth:`~headway.runtime.pipelines.runner.Runner.run` gives them."""
        return iter(self._outputs)


def rows_of(prepared: Any) -> Rows | None:
    """The rows that a head's ``complete`` runs; None where it does not run plain rows."""
    if isinstance(prepared, Rows):
        return prepared
    rows = getattr(prepared, "rows", None)
    return rows if isinstance(rows, Rows) else None


def run_together(shares: Sequence[Share], max_tokens: int) -> tuple[int, int]:
    """Run the next rows of several requests of one pipeline, each an equal part of the budget.

    Args:
        shares: requests with rows left.
        max_tokens: tokens of all rows together, exceeded only by a single row.

    Returns:
        How many rows and tokens ran.
    """
    pipeline = shares[0].pipeline
    taken = [(share, share.take(max(1, max_tokens // len(shares)))) for share in shares]
    joined = join_rows([(share.rows, numbers) for share, numbers in taken])
    owners = np.repeat(np.arange(len(taken)), [len(numbers) for _, numbers in taken])
    numbers = np.concatenate([numbers for _, numbers in taken])
    for batch, outputs in pipeline.runner.run(joined, shares[0].options):
        _hand_out(taken, owners[batch.indices], numbers[batch.indices], batch, outputs)
    return len(joined), len(joined.ids)


def joined(shares: Sequence[Share], max_tokens: int) -> Share | None:
    """One share for several requests of one pipeline that ask for the same of plain rows, one row for each item.

    Args:
        shares: requests of which nothing has run.
        max_tokens: tokens of all rows together; more are not joined.

    Returns:
        The share, whose results are those of all requests one after the other; None where they differ.
    """
    first = shares[0]
    is_alike = all(share.options == first.options and len(share.rows) == share.num_items for share in shares)
    if not is_alike or any(share.has_begun for share in shares) or sum(s.num_tokens for s in shares) > max_tokens:
        return None
    prepared = _joined_prepared([share.prepared for share in shares])
    return (
        None if prepared is None else Share(first.pipeline, prepared, first.options, sum(s.num_items for s in shares))
    )


def _joined_prepared(prepared: Sequence[Any]) -> Any:
    """What one ``prepare`` would have given; None where that is not known."""
    if all(isinstance(each, Rows) for each in prepared):
        return _concatenated(prepared)
    if (
        all(isinstance(each, PromptedRows) for each in prepared)
        and len({each.num_prompt_tokens for each in prepared}) == 1
    ):
        return PromptedRows(_concatenated([each.rows for each in prepared]), prepared[0].num_prompt_tokens)
    return None


def split_prepared(prepared: Any) -> list[Any] | None:
    """What ``prepare`` would have given for each row alone; None where that is not known."""
    if isinstance(prepared, Rows):
        return list(_split(prepared))
    if isinstance(prepared, PromptedRows):
        return [PromptedRows(rows, prepared.num_prompt_tokens) for rows in _split(prepared.rows)]
    return None


def _split(rows: Rows) -> Iterator[Rows]:
    start = 0
    for index, length in enumerate(rows.lengths.tolist()):
        end = start + length
        type_ids = None if rows.type_ids is None else rows.type_ids[start:end]
        yield Rows(rows.ids[start:end], rows.lengths[index : index + 1], type_ids)
        start = end


def _concatenated(rows: Sequence[Rows]) -> Rows:
    types = [each.type_ids for each in rows if each.type_ids is not None]
    return Rows(
        np.concatenate([each.ids for each in rows]),
        np.concatenate([each.lengths for each in rows]),
        np.concatenate(types) if len(types) == len(rows) else None,
    )


def join_rows(parts: Sequence[tuple[Rows, IntArray]]) -> Rows:
    """The chosen rows of several lists as one list."""
    ids = [rows.row(number) for rows, numbers in parts for number in numbers.tolist()]
    lengths = np.concatenate([rows.lengths[numbers] for rows, numbers in parts])
    has_types = parts[0][0].type_ids is not None
    types = [_row_types(rows, number) for rows, numbers in parts for number in numbers.tolist()] if has_types else None
    return Rows(np.concatenate(ids), lengths, None if types is None else np.concatenate(types))


def _row_types(rows: Rows, number: int) -> IntArray:
    start, length = int(rows.starts[number]), int(rows.lengths[number])
    return np.zeros(length, dtype=np.int64) if rows.type_ids is None else rows.type_ids[start : start + length]


def _hand_out(
    taken: Sequence[tuple[Share, IntArray]], owners: IntArray, numbers: IntArray, batch: PaddedBatch, outputs: list[Any]
) -> None:
    """Give each request its rows of a batch."""
    for owner in np.unique(owners).tolist():
        places = np.flatnonzero(owners == owner)
        part = PaddedBatch(
            numbers[places],
            batch.lengths[places],
            batch.input_ids[places],
            batch.attention_mask[places],
            batch.token_type_ids[places],
        )
        taken[owner][0].add(part, [output[places] for output in outputs])
