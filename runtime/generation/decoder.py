"""A decoder graph that shares one buffer between past and present, driven through IOBinding.

The graph takes row lengths instead of an attention mask (GroupQueryAttention), so rows of different lengths stand side
by side and every step binds the same arrays. Graphs of onnxruntime-genai's builder compute the lengths from a mask;
theirs is ones on each row's tokens and zeros after them. On the CPU the operator takes several new tokens on top of a
past for one row at a time, so these run row by row, each on its own slice of the buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bfloat16 import BFLOAT16
from ..errors import InputError, UnsupportedFormatError
from ..huge_pages import LEAST_BYTES, collapse_soon
from ..providers import import_onnxruntime
from ..session import Session
from .cache import SharedBufferCache
from .device_cache import DeviceCache
from .graph_buffers import buffer_specs
from .graph_facts import GraphFacts
from .graph_states import is_state
from .history import Scores, TokenIds
from .places import place_of
from .recorded_step import FixedInputs, fixed_output, recorded_run_options, unrecorded_run_options

PREFILL_CHUNK_TOKENS = 512
"""Longest run of tokens of one row in one call: it bounds the memory of activations."""

# On the CPU the operator computes every score of a call's tokens, also of those that lie after each: of 2,048 tokens at
# once it takes twice as long as of 256 at a time (SmolLM2-135M on two cores).
_CPU_CHUNK_TOKENS = 256

ROTARY_SWITCH_KEY = "headway.rotary_switch_position"
"""Metadata of a graph with two sets of rotary angles (longrope): the longest row that uses the first."""

# Shorter runs are steps: a token of each row, or a few that were guessed.
_LEAST_PREFILL_TOKENS = 16

# A text takes two: its prompt, and a step that is repeated. Whoever generates a second one is likely to go on.
_CALLS_BEFORE_PACKING = 3

# Lengths that operators and shapes read on the host, whatever the device.
_READ_ON_HOST = ("total_sequence_length", "num_logits_to_keep")


@dataclass
class _Feeds:
    """The small arrays of one call, bound once and rewritten in place; ``logits`` is what the call writes."""

    input_ids: NDArray[np.int64]  # (rows, tokens)
    seqlens_k: NDArray[np.int32]  # (rows,)
    total_sequence_length: NDArray[np.int32]  # ()
    logits_to_keep: NDArray[np.int64]  # (rows, logits)
    position_ids: NDArray[np.int64]  # (rows, tokens)
    sequence_lengths: NDArray[np.int64]  # (rows,)
    num_logits_to_keep: NDArray[np.int64]  # ()
    logits: NDArray[Any]  # (rows, logits, vocab)
    rows: NDArray[np.intp]  # (rows,) 0, 1, 2 …
    binding: Any = None
    run: Any = None
    is_recorded: bool = False
    fixed: FixedInputs | None = None
    device_logits: Any = None


class Decoder:
    """Runs a shared-buffer graph on caches that it makes.

    Args:
        session: the graph.
        max_positions: how many positions the model has; None for no limit.
        prefill: the same graph in another precision, which runs blocks of several tokens: what is fastest for many
            rarely is for one. Both write the same cache.
        facts: what the folder says of the graph.

    Raises:
        UnsupportedFormatError: the two graphs differ in their inputs or in their cache, or an input is not understood.
    """

    def __init__(
        self,
        session: Session,
        max_positions: int | None = None,
        prefill: Session | None = None,
        facts: GraphFacts | None = None,
    ) -> None:
        self.session = session
        self.prefill_session = prefill or session
        self.facts = facts or GraphFacts()
        self.place = place_of(session)
        self.specs = buffer_specs(session, self.facts)
        self._require_one_cache()
        self.max_positions = max_positions
        self.vocab_size = self.facts.vocab_size_of(session)
        logits = next(spec for spec in session.outputs if spec.name == self.facts.own_name("logits"))
        if logits.dtype == BFLOAT16:
            raise UnsupportedFormatError(
                f"{session.path} gives {logits.name} {list(logits.shape)} in bfloat16, which numpy has no arrays of. "
                "Export the model in float32 or float16."
            )
        self._logits_dtype = logits.dtype
        self._gives_last_only = logits.shape[1] == 1
        self._small_inputs = [spec for spec in session.inputs if not is_state(self.facts.field_name(spec.name))]
        self._dtypes = {self.facts.field_name(spec.name): spec.dtype for spec in self._small_inputs}
        self._takes_mask = "attention_mask" in self._dtypes
        # A graph that cannot be told which logits to keep gives those of every token.
        self._chooses_logits = "logits_to_keep" in self._dtypes
        self._records_steps = session.options.cuda_graph and self.place.is_separate
        metadata = session.ort_session.get_modelmeta().custom_metadata_map
        self._calls = 0
        self._has_huge_pages = False
        self._switch_position = int(metadata.get(ROTARY_SWITCH_KEY, 0))

    def _require_one_cache(self) -> None:
        other = self.prefill_session
        if buffer_specs(other, self.facts) != self.specs or set(other.input_names) != set(self.session.input_names):
            raise UnsupportedFormatError(
                f"{other.path} and {self.session.path} do not take the same cache, so they cannot share one. Load one "
                "of them, or two precisions of the same export."
            )

    def new_cache(self, num_rows: int, capacity: int) -> SharedBufferCache:
        """An empty cache.

        Args:
            num_rows: rows of the batch.
            capacity: tokens per row it should hold; it grows beyond that up to the model's positions.

        Raises:
            CacheMemoryError: it does not fit into memory.
        """
        if self.max_positions is not None:
            capacity = min(capacity, self.max_positions)
        capacity = max(capacity, 1)
        if self.place.is_separate:
            limit = self.max_positions
            return DeviceCache(self.specs, num_rows, capacity, self.session, self.place, max_capacity=limit)
        return SharedBufferCache(self.specs, num_rows, capacity, max_capacity=self.max_positions)

    def decode(self, cache: SharedBufferCache, tokens: TokenIds) -> Scores:
        """Append one token to every row.

        Args:
            tokens: (rows,) int64.

        Returns:
            (rows, vocab) float32, overwritten by the next call on this cache.
        """
        lengths = cache.lengths
        longest = int(lengths.max()) + 1
        if longest > cache.capacity:
            cache.reserve(longest)
        if self._switch_position and self._turns_long(cache, lengths + 1).any():
            return np.concatenate([self.extend_row(cache, row, tokens[row : row + 1]) for row in range(len(tokens))])
        feeds: _Feeds = cache.bound_step or self._bind_step(cache)
        feeds.input_ids[:, 0] = tokens
        feeds.position_ids[:, 0] = lengths
        feeds.seqlens_k[:] = lengths
        feeds.sequence_lengths[:] = lengths + 1
        # A recorded step cannot be told: it gets along with the most.
        feeds.total_sequence_length[...] = longest if feeds.fixed is None else cache.capacity
        if self._takes_mask:
            self._bind_mask(feeds, lengths + 1, longest)
        self._call(feeds)
        cache.token_ids[feeds.rows, lengths] = tokens
        lengths += 1
        return _as_scores(feeds.logits[:, 0])

    def extend(self, cache: SharedBufferCache, rows: Sequence[TokenIds]) -> Scores:
        """Append tokens to every row, as many as each has.

        Args:
            rows: (tokens,) int64 per row, none empty.

        Returns:
            (rows, vocab) float32, the logits that follow each row's last token.
        """
        longest = max(int(length) + len(tokens) for length, tokens in zip(cache.lengths, rows, strict=True))
        cache.reserve(longest)
        if self._fits_one_call(cache, rows):
            return self._prefill_together(cache, rows)[:, 0]
        logits = [self.extend_row(cache, row, tokens)[-1] for row, tokens in enumerate(rows)]
        return np.stack(logits)

    def extend_row(self, cache: SharedBufferCache, row: int, tokens: TokenIds, num_logits: int = 1) -> Scores:
        """Append tokens to one row, in chunks.

        Args:
            row: which one.
            tokens: (tokens,) int64, not empty.
            num_logits: of how many tokens at the end the logits are wanted.

        Returns:
            (num_logits, vocab) float32.
        """
        total = int(cache.lengths[row]) + len(tokens)
        cache.reserve(total)
        view = cache.row(row) if cache.num_rows > 1 else cache
        if self._switch_position and self._turns_long(view, np.array([total]))[0]:
            # Keys turned by the other angles are of no use: the row begins again.
            tokens = np.concatenate([view.row_ids(0), tokens])
            view.truncate(0, 0)
        parts = []
        chunk_tokens = PREFILL_CHUNK_TOKENS if self.place.is_separate else min(PREFILL_CHUNK_TOKENS, _CPU_CHUNK_TOKENS)
        for start in range(0, len(tokens), chunk_tokens):
            chunk = tokens[start : start + chunk_tokens]
            first_kept = max(len(tokens) - num_logits - start, 0)
            kept = np.arange(min(first_kept, len(chunk)), len(chunk))[None]
            if self._gives_last_only and kept.shape[1] > 1:
                parts += [self.extend_row(view, 0, token) for token in chunk[:, None]][-kept.shape[1] :]
                continue
            parts.append(self._run_block(view, chunk[None], kept, sequence_lengths=np.array([total]))[0])
            view.record(0, chunk)
        return np.concatenate(parts)

    def score(self, cache: SharedBufferCache, rows: Sequence[TokenIds]) -> list[Scores]:
        """Append tokens to every row; the logits after each of them, (tokens, vocab) float32 per row."""
        longest = max(int(length) + len(tokens) for length, tokens in zip(cache.lengths, rows, strict=True))
        cache.reserve(longest)
        if self._fits_one_call(cache, rows) and not self._gives_last_only:
            logits = self._prefill_together(cache, rows, all_logits=True)
            return [row_logits[: len(tokens)] for row_logits, tokens in zip(logits, rows, strict=True)]
        return [self.extend_row(cache, row, tokens, num_logits=len(tokens)) for row, tokens in enumerate(rows)]

    def _fits_one_call(self, cache: SharedBufferCache, rows: Sequence[TokenIds]) -> bool:
        """Whether a padded call for all rows is allowed and not wasteful."""
        longest = max(map(len, rows))
        if self._gives_last_only and len({len(tokens) for tokens in rows}) > 1:
            return False
        return len(rows) > 1 and not cache.lengths.any() and longest * len(rows) <= PREFILL_CHUNK_TOKENS

    def _prefill_together(
        self, cache: SharedBufferCache, rows: Sequence[TokenIds], *, all_logits: bool = False
    ) -> Scores:
        """Run all rows padded to the longest; logits after each row's last token (rows, 1, vocab), or after all."""
        lengths = np.array([len(tokens) for tokens in rows])
        block = np.zeros((len(rows), lengths.max()), dtype=np.int64)
        for row, tokens in enumerate(rows):
            block[row, : len(tokens)] = tokens
        kept = np.broadcast_to(np.arange(block.shape[1]), block.shape) if all_logits else lengths[:, None] - 1
        logits = self._run_block(cache, block, kept, lengths)
        for row, tokens in enumerate(rows):
            cache.record(row, tokens)
        return logits

    def _run_block(
        self,
        cache: SharedBufferCache,
        block: TokenIds,
        kept: NDArray[np.integer],
        num_new: NDArray[np.integer] | None = None,
        sequence_lengths: NDArray[np.integer] | None = None,
    ) -> Scores:
        """Run (rows, tokens) ids, right-padded to ``num_new`` per row; logits at ``kept`` (rows, logits)."""
        rows, tokens = block.shape
        lengths = cache.lengths + (tokens if num_new is None else num_new)
        feeds = self._feeds(rows, tokens, self._num_given(tokens, kept))
        feeds.input_ids[...] = block
        feeds.position_ids[...] = cache.lengths[:, None] + np.arange(tokens)
        feeds.sequence_lengths[...] = lengths if sequence_lengths is None else sequence_lengths
        if self._switch_position:
            cache.is_long[...] = feeds.sequence_lengths > self._switch_position
        feeds.seqlens_k[...] = lengths - 1
        feeds.total_sequence_length[...] = int(cache.lengths.max()) + tokens
        if self._chooses_logits:
            feeds.logits_to_keep[...] = kept
        self._bind(feeds, cache)
        if self._takes_mask:
            self._bind_mask(feeds, lengths, int(cache.lengths.max()) + tokens)
        self._call(feeds)
        scores = _as_scores(feeds.logits)
        if self._chooses_logits:
            return scores
        return np.take_along_axis(scores, (kept - tokens + scores.shape[1])[:, :, None], axis=1)

    def _num_given(self, tokens: int, kept: NDArray[np.integer]) -> int:
        """How many tokens' logits a call of so many tokens gives."""
        if self._chooses_logits:
            return int(kept.shape[1])
        if self._gives_last_only:
            return 1
        return int(tokens - kept.min(initial=tokens - 1)) if "num_logits_to_keep" in self._dtypes else tokens

    def _turns_long(self, cache: SharedBufferCache, totals: NDArray[np.integer]) -> NDArray[np.bool_]:
        """(rows,) whether rows of these lengths use other rotary angles than the keys they hold."""
        turns: NDArray[np.bool_] = (cache.lengths > 0) & (cache.is_long != (totals > self._switch_position))
        return turns

    def _bind_step(self, cache: SharedBufferCache) -> _Feeds:
        feeds = self._feeds(cache.num_rows, 1, 1)
        # A mask has another shape at every step, and what is recorded keeps its shapes.
        feeds.is_recorded = self._records_steps and not self._takes_mask
        self._bind(feeds, cache)
        cache.bound_step = feeds
        return feeds

    def _feeds(self, rows: int, tokens: int, num_logits: int) -> _Feeds:
        dtypes = self._dtypes
        return _Feeds(
            input_ids=np.zeros((rows, tokens), dtypes.get("input_ids", "int64")),
            seqlens_k=np.zeros(rows, np.int32),
            total_sequence_length=np.zeros((), np.int32),
            logits_to_keep=np.zeros((rows, num_logits), np.int64),
            position_ids=np.zeros((rows, tokens), dtypes.get("position_ids", "int64")),
            sequence_lengths=np.zeros(rows, np.int64),
            num_logits_to_keep=np.full((), num_logits, np.int64),
            logits=np.zeros((rows, num_logits, self.vocab_size), self._logits_dtype),
            rows=np.arange(rows),
        )

    def _bind(self, feeds: _Feeds, cache: SharedBufferCache) -> None:
        session = self._session_for(*feeds.input_ids.shape)
        feeds.binding = binding = session.ort_session.io_binding()
        feeds.run = session.ort_session.run_with_iobinding
        if self._records_steps:
            options = recorded_run_options() if feeds.is_recorded else unrecorded_run_options()
            feeds.run = partial(feeds.run, run_options=options)
        feeds.fixed = FixedInputs(binding, self.place) if feeds.is_recorded else None
        self._bind_small(feeds)
        for spec, buffer in zip(self.specs, cache.ort_values, strict=True):
            binding.bind_ortvalue_input(spec.past_name, buffer)
            binding.bind_ortvalue_output(spec.present_name, buffer)
        logits = self.facts.own_name("logits")
        if feeds.is_recorded:
            feeds.device_logits = fixed_output(binding, logits, self.place, feeds.logits)
        else:
            binding.bind_ortvalue_output(logits, import_onnxruntime().OrtValue.ortvalue_from_numpy(feeds.logits))

    def _session_for(self, rows: int, tokens: int) -> Session:
        """What is fastest for a call of so many tokens in each row."""
        if tokens >= _LEAST_PREFILL_TOKENS and self.prefill_session is not self.session:
            return self.prefill_session
        # Rows that run side by side gain the most.
        self._calls += 1 if rows == 1 else _CALLS_BEFORE_PACKING
        if self._calls >= _CALLS_BEFORE_PACKING:
            self.session.pack()
            self._use_huge_pages()
        return self.session

    def _use_huge_pages(self) -> None:
        """Once there is a second text, as packing: a single one would not make up for the time."""
        if self._has_huge_pages or self.place.is_separate or self.session.num_bytes < LEAST_BYTES:
            return
        self._has_huge_pages = True
        collapse_soon()

    def _bind_small(self, feeds: _Feeds) -> None:
        """Bind the inputs that are no cache: in place on the host, anew or at fixed addresses on a device."""
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        for given in self._small_inputs:
            name = self.facts.field_name(given.name)
            if name == "attention_mask":
                continue
            if feeds.fixed is not None and name not in _READ_ON_HOST:
                feeds.fixed.bind(given.name, getattr(feeds, name))
            else:
                feeds.binding.bind_ortvalue_input(given.name, ort_value(getattr(feeds, name)))

    def _bind_mask(self, feeds: _Feeds, lengths: NDArray[np.integer], width: int) -> None:
        """Say in a mask how long each row is with its new tokens; its width is the longest."""
        name = self.facts.own_name("attention_mask")
        mask = (np.arange(width) < lengths[:, None]).astype(self._dtypes["attention_mask"])
        feeds.binding.bind_ortvalue_input(name, import_onnxruntime().OrtValue.ortvalue_from_numpy(mask))

    def _call(self, feeds: _Feeds) -> None:
        if feeds.fixed is not None:
            feeds.fixed.push()
        elif self.place.is_separate:
            # Binding copies to the device: what changed since then is bound again.
            self._bind_small(feeds)
        try:
            feeds.run(feeds.binding)
            if feeds.device_logits is not None:
                feeds.logits[...] = feeds.device_logits.numpy()
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"ONNX Runtime could not run the graph on ids {feeds.input_ids.shape}: {first}") from error


def _as_scores(logits: NDArray[Any]) -> Scores:
    return logits if logits.dtype == np.float32 else logits.astype(np.float32)
