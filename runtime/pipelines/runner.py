"""Rows through a graph: batches by token budget, only the inputs it declares, only the outputs a head reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import TensorSpec
from ..batch_runs import plan_for
from ..batching import (
    IntArray,
    PaddedBatch,
    Rows,
    equal_length_batches,
    padded_batches,
    single_row_batch,
    token_batches,
)
from ..errors import CorruptArtifactError
from ..models import Model
from ..output_names import HIDDEN_STATES, unnamed_hidden_states
from ..session import Session
from .options import PipelineOptions
from .progress import Progress
from .streams import SideSession, side_by_side

Array = NDArray[Any]
BatchOutput = tuple[PaddedBatch, list[Array]]

DEFAULT_BATCH_TOKENS: Mapping[str, int] = {"cpu": 512}
"""Device → padded tokens of a batch. On a CPU small batches stay in its caches; other devices want large ones."""

STREAM_BATCH_TOKENS = 256
"""Padded tokens of a batch that has one core for itself."""

_LEAST_STREAM_BATCH_TOKENS = 96
_BATCHES_PER_STREAM = 4

_LARGE_BATCH_TOKENS = 16384


class Runner:
    """Runs rows of token ids through a model's graph.

    Args:
        model: the loaded head.
        pad_token_id: id that fills rows up; None batches rows of equal length only.
        output_names: outputs to compute, in this order; those the graph lacks are left out. None takes all.

    Raises:
        CorruptArtifactError: the graph needs an input that text does not give, or has none of the outputs.
    """

    def __init__(self, model: Model, pad_token_id: int | None, output_names: Sequence[str] | None = None) -> None:
        self._session = model.session
        self._sides = SideSession(model.session)
        self.pad_token_id = pad_token_id
        self._inputs = tuple(model.session.inputs)
        self._default_budget = DEFAULT_BATCH_TOKENS.get(model.device, _LARGE_BATCH_TOKENS)
        self.output_names = _present(model, output_names)
        unknown = [spec.name for spec in self._inputs if spec.name not in _FEEDS]
        if unknown:
            raise CorruptArtifactError(
                f"{model.session.path} needs the input {', '.join(unknown)}, which a tokenizer does not give; call the"
                " model with arrays instead of a pipeline."
            )

    def run(self, rows: Rows, options: PipelineOptions, progress: Progress | None = None) -> Iterator[BatchOutput]:
        """Yield each batch with its outputs, longest rows first.

        Raises:
            InputError: ONNX Runtime refused a batch.
        """
        if len(rows) == 1 and rows.lengths[0]:
            batch = single_row_batch(rows)
            yield batch, self.run_batch(batch)
            if progress is not None:
                progress.advance(1)
            return
        session, num_streams = self._sides.for_work(len(rows.ids), options.num_streams)
        make_batches = token_batches if self.pad_token_id is not None else equal_length_batches
        budget = self.budget(options, num_streams, len(rows.ids))
        batches = make_batches(rows.lengths, budget, options.batch_size)
        padded = padded_batches(rows, batches, self.pad_token_id or 0)
        for batch, outputs in side_by_side(lambda batch: self.run_batch(batch, session), padded, num_streams):
            yield batch, outputs
            if progress is not None:
                progress.advance(len(batch))

    def expect_more(self) -> None:
        """Be ready for work that goes on: see :meth:`~headway.runtime.pipelines.streams.SideSession.expect_more`."""
        self._sides.expect_more()

    def run_batch(self, batch: PaddedBatch, session: Session | None = None) -> list[Array]:
        """Outputs of one batch, in float32 where the graph computes in float16."""
        feeds = {spec.name: feed(spec, batch) for spec in self._inputs}
        return [_as_float32(output) for output in (session or self._session).run(feeds, self.output_names)]

    def budget(self, options: PipelineOptions, num_streams: int = 1, num_tokens: int = 0) -> int | None:
        """Most padded tokens of a batch under these options, of work of so many tokens."""
        if options.max_batch_tokens is not None:
            return options.max_batch_tokens
        if options.batch_size is not None:
            return None
        tuned = plan_for(num_tokens, self._session.options.runs).run_tokens
        if tuned is not None:
            return tuned
        if num_streams == 1:
            return self._default_budget
        # Of little work each core gets several batches: they pad less, and no core waits long for the last one.
        share = num_tokens // (_BATCHES_PER_STREAM * num_streams)
        return min(max(share, _LEAST_STREAM_BATCH_TOKENS), STREAM_BATCH_TOKENS)


def vectors(outputs: Iterable[BatchOutput], num_rows: int) -> Array:
    """First outputs of (batch, …) put back in the order of the rows: (rows, …)."""
    gathered: Array | None = None
    for batch, arrays in outputs:
        if len(batch) == num_rows:
            first = np.empty_like(arrays[0])
            first[batch.indices] = arrays[0]
            return first
        if gathered is None:
            gathered = np.empty((num_rows, *arrays[0].shape[1:]), dtype=arrays[0].dtype)
        gathered[batch.indices] = arrays[0]
    return np.empty((0, 0), dtype=np.float32) if gathered is None else gathered


def token_vectors(outputs: Iterable[BatchOutput], num_rows: int) -> list[Array]:
    """First outputs of (batch, sequence, …) as one (length, …) array for each row, padding cut off."""
    gathered: list[Array] = [np.empty(0)] * num_rows
    for batch, arrays in outputs:
        for index, length, values in zip(batch.indices.tolist(), batch.lengths.tolist(), arrays[0], strict=True):
            gathered[index] = values[:length]
    return gathered


def _present(model: Model, wanted: Sequence[str] | None) -> list[str]:
    """The wanted outputs that the graph has; a graph of one output needs no particular name for it."""
    declared = list(model.session.output_names)
    if wanted is None or len(declared) == 1:
        return declared
    present = [name for name in wanted if name in declared]
    unnamed = unnamed_hidden_states(model.session.outputs) if HIDDEN_STATES in wanted else None
    if not present and unnamed is not None:
        return [unnamed]
    if not present:
        raise CorruptArtifactError(
            f"{model.session.path} has the outputs {', '.join(declared)}; {' or '.join(wanted)} is needed."
        )
    return present


def feed(spec: TensorSpec, batch: PaddedBatch) -> Array:
    """What the batch gives for one input of a graph."""
    values: Array = _FEEDS[spec.name](batch)
    return values if spec.dtype == "int64" else values.astype(spec.dtype)


def _positions(batch: PaddedBatch) -> IntArray:
    """Positions counted over tokens; padding has the last one, which is always valid."""
    return np.maximum(np.cumsum(batch.attention_mask, axis=-1) - 1, 0)


_FEEDS = {
    "input_ids": lambda batch: batch.input_ids,
    "attention_mask": lambda batch: batch.attention_mask,
    "token_type_ids": lambda batch: batch.token_type_ids,
    "position_ids": _positions,
}


def _as_float32(output: Array) -> Array:
    return output.astype(np.float32) if output.dtype == np.float16 else output
