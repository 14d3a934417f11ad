"""Rows through a graph: batches by token budget, only the inputs it declares, only the outputs a head reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import TensorSpec
from ..batch_runs import plan_for
from ..batching import (
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
from ..stand_ins import can_stand_in, stand_in, token_positions
from .fixed_sizes import FixedSizes
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
        self._sizes = FixedSizes.of(self._inputs)
        # Without a mask a graph takes padding for text, so rows that run together have one length.
        can_pad = pad_token_id is not None and "attention_mask" in model.session.input_names
        self._make_batches = token_batches if can_pad else equal_length_batches
        self._default_budget = DEFAULT_BATCH_TOKENS.get(model.device, _LARGE_BATCH_TOKENS)
        self.output_names = _present(model, output_names)
        unknown = [spec for spec in self._inputs if spec.name not in _FEEDS and not can_stand_in(spec)]
        if unknown:
            described = ", ".join(f"{spec.name} {spec.dtype}{list(spec.shape)}" for spec in unknown)
            raise CorruptArtifactError(
                f"{model.session.path} needs the input {described}, which a tokenizer does not give; call the"
                " model with arrays instead of a pipeline."
            )

    def run(self, rows: Rows, options: PipelineOptions, progress: Progress | None = None) -> Iterator[BatchOutput]:
        """Yield each batch with its outputs, longest rows first.

        Raises:
            InputError: ONNX Runtime refused a batch.
        """
        if len(rows) == 1 and rows.lengths[0]:
            batch = self._sizes.widened(single_row_batch(rows), self.pad_token_id)
            yield batch, self.run_batch(batch)
            if progress is not None:
                progress.advance(1)
            return
        session, num_streams = self._sides.for_work(len(rows.ids), options.num_streams)
        budget = self.budget(options, num_streams, len(rows.ids))
        batches = self._make_batches(rows.lengths, budget, self._sizes.batch_size(options.batch_size))
        padded = (
            self._sizes.widened(batch, self.pad_token_id)
            for batch in padded_batches(rows, batches, self.pad_token_id or 0)
        )
        threads = self._sides.threads(num_streams)
        for batch, outputs in side_by_side(lambda batch: self.run_batch(batch, session), padded, num_streams, threads):
            yield batch, outputs
            if progress is not None:
                progress.advance(len(batch))

    def expect_more(self) -> None:
        """Be ready for work that goes on: see :meth:`~headway.runtime.pipelines.streams.SideSession.expect_more`."""
        self._sides.expect_more()

    def run_batch(self, batch: PaddedBatch, session: Session | None = None) -> list[Array]:
        """Outputs of one batch, in float32 where the graph computes in float16."""
        feeds = self._sizes.filled({spec.name: feed(spec, batch) for spec in self._inputs})
        outputs = (session or self._session).run(feeds, self.output_names)
        return [_as_float32(self._sizes.cut(output, len(batch))) for output in outputs]

    def limited(self, limit: int | None) -> int | None:
        """The smaller of a limit of tokens and the length that the graph is fixed to, if it is."""
        limits = [size for size in (limit, self._sizes.tokens) if size is not None]
        return min(limits) if limits else None

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
    if spec.name not in _FEEDS:
        return stand_in(spec, batch.attention_mask)
    values = _FEEDS[spec.name](batch)
    return values if spec.dtype == "int64" else values.astype(spec.dtype)


_FEEDS: Mapping[str, Callable[[PaddedBatch], Array]] = {
    "input_ids": lambda batch: batch.input_ids,
    "attention_mask": lambda batch: batch.attention_mask,
    "token_type_ids": lambda batch: batch.token_type_ids,
    "position_ids": lambda batch: token_positions(batch.attention_mask),
}


def _as_float32(output: Array) -> Array:
    return output.astype(np.float32) if output.dtype == np.float16 else output
