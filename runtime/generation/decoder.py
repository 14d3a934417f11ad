"""A decoder graph that shares one buffer between past and present, driven through IOBinding.

The graph takes row lengths instead of an attention mask (GroupQueryAttention), so rows of different lengths stand side
by side and every step binds the same arrays. On the CPU the operator takes several new tokens on top of a past for one
row at a time, so these run row by row, each on its own slice of the buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UnsupportedFormatError
from ..providers import import_onnxruntime
from ..session import Session
from .cache import BufferSpec, SharedBufferCache
from .history import Scores, TokenIds

PREFILL_CHUNK_TOKENS = 512
"""Longest run of tokens of one row in one call: it bounds the memory of activations."""

ROTARY_SWITCH_KEY = "headway.rotary_switch_position"
"""Metadata of a graph with two sets of rotary angles (longrope): the longest row that uses the first."""

# Shorter runs are steps: a token of each row, or a few that were guessed.
_LEAST_PREFILL_TOKENS = 16

_PAST_PREFIX, _PRESENT_PREFIX = "past_key_values.", "present."


def is_shared_buffer_graph(session: Session) -> bool:
    """Whether the graph takes row lengths and writes its cache in place."""
    return "seqlens_k" in session.input_names and "total_sequence_length" in session.input_names


def buffer_specs(session: Session) -> tuple[BufferSpec, ...]:
    """The key and value buffers of a graph, read from its inputs.

    Raises:
        UnsupportedFormatError: a buffer has no counterpart among the outputs, or an unknown shape.
    """
    specs = []
    for spec in session.inputs:
        if not spec.name.startswith(_PAST_PREFIX):
            continue
        present = _PRESENT_PREFIX + spec.name.removeprefix(_PAST_PREFIX)
        heads, head_dim = (spec.shape[1], spec.shape[3]) if spec.rank == 4 else (None, None)
        if present not in session.output_names or not isinstance(heads, int) or not isinstance(head_dim, int):
            raise UnsupportedFormatError(
                f"{session.path} has the cache input {spec.name} {list(spec.shape)} and the outputs "
                f"{list(session.output_names)}; (batch, heads, tokens, head_dim) with an output {present} is needed."
            )
        specs.append(BufferSpec(spec.name, present, heads, head_dim, spec.dtype))
    return tuple(specs)


@dataclass
class _Feeds:
    """The small arrays of one call, bound once and rewritten in place; ``logits`` is what the call writes."""

    input_ids: NDArray[np.int64]  # (rows, tokens)
    seqlens_k: NDArray[np.int32]  # (rows,)
    total_sequence_length: NDArray[np.int32]  # ()
    logits_to_keep: NDArray[np.int64]  # (rows, logits)
    position_ids: NDArray[np.int64]  # (rows, tokens)
    sequence_lengths: NDArray[np.int64]  # (rows,)
    logits: NDArray[Any]  # (rows, logits, vocab)
    rows: NDArray[np.intp]  # (rows,) 0, 1, 2 …
    binding: Any = None
    run: Any = None


class Decoder:
    """Runs a shared-buffer graph on caches that it makes.

    Args:
        session: the graph.
        max_positions: how many positions the model has; None for no limit.
        prefill: the same graph in another precision, which runs blocks of several tokens: what is fastest for many
            rarely is for one. Both write the same cache.

    Raises:
        UnsupportedFormatError: the two graphs differ in their inputs or in their cache.
    """

    def __init__(self, session: Session, max_positions: int | None = None, prefill: Session | None = None) -> None:
        self.session = session
        self.prefill_session = prefill or session
        self.specs = buffer_specs(session)
        self._require_one_cache()
        self.max_positions = max_positions
        logits = next(spec for spec in session.outputs if spec.name == "logits")
        self.vocab_size = int(logits.shape[2])
        self._logits_dtype = logits.dtype
        metadata = session.ort_session.get_modelmeta().custom_metadata_map
        self._switch_position = int(metadata.get(ROTARY_SWITCH_KEY, 0))

    def _require_one_cache(self) -> None:
        other = self.prefill_session
        if buffer_specs(other) != self.specs or set(other.input_names) != set(self.session.input_names):
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
        return SharedBufferCache(self.specs, num_rows, max(capacity, 1), max_capacity=self.max_positions)

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
        feeds.total_sequence_length[...] = longest
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
        for start in range(0, len(tokens), PREFILL_CHUNK_TOKENS):
            chunk = tokens[start : start + PREFILL_CHUNK_TOKENS]
            first_kept = max(len(tokens) - num_logits - start, 0)
            kept = np.arange(min(first_kept, len(chunk)), len(chunk))[None]
            parts.append(self._run_block(view, chunk[None], kept, sequence_lengths=np.array([total]))[0])
            view.record(0, chunk)
        return np.concatenate(parts)

    def score(self, cache: SharedBufferCache, rows: Sequence[TokenIds]) -> list[Scores]:
        """Append tokens to every row; the logits after each of them, (tokens, vocab) float32 per row."""
        longest = max(int(length) + len(tokens) for length, tokens in zip(cache.lengths, rows, strict=True))
        cache.reserve(longest)
        if self._fits_one_call(cache, rows):
            logits = self._prefill_together(cache, rows, all_logits=True)
            return [row_logits[: len(tokens)] for row_logits, tokens in zip(logits, rows, strict=True)]
        return [self.extend_row(cache, row, tokens, num_logits=len(tokens)) for row, tokens in enumerate(rows)]

    def _fits_one_call(self, cache: SharedBufferCache, rows: Sequence[TokenIds]) -> bool:
        """Whether a padded call for all rows is allowed and not wasteful."""
        longest = max(map(len, rows))
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
        feeds = self._feeds(rows, tokens, kept.shape[1])
        feeds.input_ids[...] = block
        feeds.position_ids[...] = cache.lengths[:, None] + np.arange(tokens)
        feeds.sequence_lengths[...] = lengths if sequence_lengths is None else sequence_lengths
        if self._switch_position:
            cache.is_long[...] = feeds.sequence_lengths > self._switch_position
        feeds.seqlens_k[...] = lengths - 1
        feeds.total_sequence_length[...] = int(cache.lengths.max()) + tokens
        feeds.logits_to_keep[...] = kept
        self._bind(feeds, cache)
        self._call(feeds)
        return _as_scores(feeds.logits)

    def _turns_long(self, cache: SharedBufferCache, totals: NDArray[np.integer]) -> NDArray[np.bool_]:
        """(rows,) whether rows of these lengths use other rotary angles than the keys they hold."""
        turns: NDArray[np.bool_] = (cache.lengths > 0) & (cache.is_long != (totals > self._switch_position))
        return turns

    def _bind_step(self, cache: SharedBufferCache) -> _Feeds:
        feeds = self._feeds(cache.num_rows, 1, 1)
        self._bind(feeds, cache)
        cache.bound_step = feeds
        return feeds

    def _feeds(self, rows: int, tokens: int, num_logits: int) -> _Feeds:
        return _Feeds(
            input_ids=np.zeros((rows, tokens), np.int64),
            seqlens_k=np.zeros(rows, np.int32),
            total_sequence_length=np.zeros((), np.int32),
            logits_to_keep=np.zeros((rows, num_logits), np.int64),
            position_ids=np.zeros((rows, tokens), np.int64),
            sequence_lengths=np.zeros(rows, np.int64),
            logits=np.zeros((rows, num_logits, self.vocab_size), self._logits_dtype),
            rows=np.arange(rows),
        )

    def _bind(self, feeds: _Feeds, cache: SharedBufferCache) -> None:
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        session = self.session if feeds.input_ids.shape[1] < _LEAST_PREFILL_TOKENS else self.prefill_session
        binding = session.ort_session.io_binding()
        for name in session.input_names:
            if not name.startswith(_PAST_PREFIX):
                binding.bind_ortvalue_input(name, ort_value(getattr(feeds, name)))
        for spec, buffer in zip(self.specs, cache.ort_values, strict=True):
            binding.bind_ortvalue_input(spec.past_name, buffer)
            binding.bind_ortvalue_output(spec.present_name, buffer)
        binding.bind_ortvalue_output("logits", ort_value(feeds.logits))
        feeds.binding, feeds.run = binding, session.ort_session.run_with_iobinding

    def _call(self, feeds: _Feeds) -> None:
        try:
            feeds.run(feeds.binding)
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"ONNX Runtime could not run the graph on ids {feeds.input_ids.shape}: {first}") from error


def _as_scores(logits: NDArray[Any]) -> Scores:
    return logits if logits.dtype == np.float32 else logits.astype(np.float32)
