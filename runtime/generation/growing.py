"""Decoder graphs that take a past and return a longer present, with an attention mask over both.

What a graph keeps is found by name: keys and values that grow by the tokens of a call, and states of fixed size
(convolution, recurrent). Rows of different lengths are right-aligned in each call, and the mask says what counts. A
graph that takes one token at a time (it has a recurrent state) is fed a prompt token by token, each row by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import TensorSpec
from ..errors import InputError, InputTooLongError, OptionError, UnsupportedFormatError
from ..providers import import_onnxruntime
from ..session import Session
from .history import Scores, TokenIds
from .memory import require_memory

# Beginning of an input's name → beginning of the output that replaces it.
_STATE_PREFIXES: Mapping[str, str] = {
    "past_key_values.": "present.",
    "past_indexer.": "present_indexer.",
    "past_conv.": "present_conv.",
    "past_ssm.": "present_ssm.",
    "past_recurrent.": "present_recurrent.",
    "past_state.": "present_state.",
}


@dataclass(frozen=True)
class StateSpec:
    """One thing a graph keeps from call to call.

    Args:
        past: the input.
        present_name: the output that takes its place.
        growing_axis: the axis that grows by a token per token; None for a state of fixed size.
    """

    past: TensorSpec
    present_name: str
    growing_axis: int | None

    def empty(self, num_rows: int) -> NDArray[Any]:
        """What stands for no token yet: no column, or a state of zeros."""
        return np.zeros(self._shape(num_rows, 0), dtype=self.past.dtype)

    def size_bytes(self, num_rows: int, length: int) -> int:
        """What it takes for rows of this many tokens."""
        return math.prod(self._shape(num_rows, length)) * np.dtype(self.past.dtype).itemsize

    def _shape(self, num_rows: int, length: int) -> list[int]:
        return [
            num_rows if axis == 0 else length if axis == self.growing_axis else int(size)
            for axis, size in enumerate(self.past.shape)
        ]


def state_specs(session: Session) -> tuple[StateSpec, ...]:
    """What a graph keeps, found by the names of its inputs.

    Raises:
        UnsupportedFormatError: an input has no output that replaces it, or more than one axis of unknown size.
    """
    specs = []
    for spec in session.inputs:
        prefix = next((prefix for prefix in _STATE_PREFIXES if spec.name.startswith(prefix)), None)
        if prefix is None:
            continue
        present = _STATE_PREFIXES[prefix] + spec.name.removeprefix(prefix)
        free = [axis for axis, size in enumerate(spec.shape) if axis > 0 and not isinstance(size, int)]
        if present not in session.output_names or len(free) > 1:
            raise UnsupportedFormatError(
                f"{session.path} has the cache input {spec.name} {list(spec.shape)} and the outputs "
                f"{list(session.output_names)}; an output {present} and at most one growing axis are needed."
            )
        specs.append(StateSpec(spec, present, free[0] if free else None))
    return tuple(specs)


class GrowingCache:
    """States of several rows, and which of their columns hold a token of which row.

    Args:
        specs: what the graph keeps.
        num_rows: rows of the batch.
        capacity: how many tokens a row is going to hold; more fit as well.

    Raises:
        CacheMemoryError: so many tokens would not fit into memory.
    """

    def __init__(self, specs: Sequence[StateSpec], num_rows: int, capacity: int = 0) -> None:
        _require_memory(specs, num_rows, capacity)
        self.capacity = capacity
        self.specs = tuple(specs)
        self.lengths = np.zeros(num_rows, dtype=np.int32)
        self.mask = np.zeros((num_rows, 0), dtype=np.int64)  # (rows, columns)
        self.columns = np.zeros((num_rows, 0), dtype=np.int64)  # token ids by column
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        self.states: list[Any] = [ort_value(spec.empty(num_rows)) for spec in specs]

    def __repr__(self) -> str:
        return f"GrowingCache(lengths={self.lengths.tolist()})"

    @property
    def num_rows(self) -> int:
        """Rows of the batch."""
        return len(self.lengths)

    @property
    def size_bytes(self) -> int:
        """What the states take."""
        return sum(int(state.tensor_size_in_bytes()) for state in self.states)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens of the longest row."""
        return int(self.lengths.max(initial=0))

    def row_ids(self, row: int) -> TokenIds:
        """(length,) int64: the tokens that a row holds."""
        token_ids: TokenIds = self.columns[row, self.mask[row] != 0]
        return token_ids

    def select(self, rows: NDArray[np.integer]) -> None:
        """Let row ``i`` become what row ``rows[i]`` was; a row may come several times, or not at all.

        Raises:
            CacheMemoryError: there are more rows than before, and they would not fit; nothing changed.
        """
        if np.array_equal(rows, np.arange(self.num_rows)):
            return
        if len(rows) > self.num_rows:
            _require_memory(self.specs, len(rows), max(self.capacity, self.mask.shape[1]))
        self.lengths, self.mask, self.columns = self.lengths[rows], self.mask[rows], self.columns[rows]
        self._replace(lambda spec, state: np.ascontiguousarray(state[rows]))

    def truncate(self, row: int, length: int) -> None:
        """Forget all but the first ``length`` tokens of a row.

        Raises:
            OptionError: the graph keeps a state that cannot go back.
        """
        if length >= self.lengths[row]:
            return
        if any(spec.growing_axis is None for spec in self.specs):
            raise OptionError(
                "This model keeps a recurrent state, which cannot go back to an earlier token. "
                "Start without past_key_values, and leave out prompt_lookup_num_tokens."
            )
        self.mask[row, np.flatnonzero(self.mask[row])[length:]] = 0
        self.lengths[row] = length
        self._drop_trailing_columns()

    @classmethod
    def stacked(cls, caches: Sequence[GrowingCache]) -> GrowingCache:
        """Caches of one row each as one cache; shorter rows are padded on the left."""
        stacked = cls(caches[0].specs, len(caches))
        stacked.lengths = np.concatenate([cache.lengths for cache in caches])
        width = max(cache.mask.shape[1] for cache in caches)
        stacked.mask = np.concatenate([_left_padded(cache.mask, width, 1) for cache in caches])
        stacked.columns = np.concatenate([_left_padded(cache.columns, width, 1) for cache in caches])
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        for index, spec in enumerate(stacked.specs):
            states = [_left_padded(cache.states[index].numpy(), width, spec.growing_axis) for cache in caches]
            stacked.states[index] = ort_value(np.concatenate(states))
        return stacked

    def copy_from(self, other: GrowingCache) -> None:
        """Become what another cache is."""
        self.lengths, self.mask, self.columns, self.states = other.lengths, other.mask, other.columns, other.states

    def only(self, row: int) -> GrowingCache:
        """A copy that holds one row."""
        one = GrowingCache(self.specs, self.num_rows)
        one.copy_from(self)
        one.select(np.array([row]))
        return one

    def _drop_trailing_columns(self) -> None:
        used = np.flatnonzero(self.mask.any(axis=0))
        width = int(used[-1]) + 1 if len(used) else 0
        if width == self.mask.shape[1]:
            return
        self.mask, self.columns = self.mask[:, :width], self.columns[:, :width]
        self._replace(lambda spec, state: np.ascontiguousarray(np.take(state, np.arange(width), spec.growing_axis)))

    def _replace(self, change: Any) -> None:
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        pairs = zip(self.specs, self.states, strict=True)
        self.states = [ort_value(change(spec, state.numpy())) for spec, state in pairs]


class GrowingDecoder:
    """Runs a past-to-present graph on caches that it makes; see :class:`.network.TokenDecoder`.

    Args:
        session: the graph.
        max_positions: how many positions the model has; None for no limit.
    """

    def __init__(self, session: Session, max_positions: int | None = None) -> None:
        self.session = session
        self.specs = state_specs(session)
        self.max_positions = max_positions
        self.vocab_size = int(next(spec for spec in session.outputs if spec.name == "logits").shape[2])
        self._output_names = ["logits", *(spec.present_name for spec in self.specs)]
        ids = next(spec for spec in session.inputs if spec.name == "input_ids")
        self._is_single_token = ids.shape[1] == 1

    def new_cache(self, num_rows: int, capacity: int) -> GrowingCache:
        """An empty cache; it grows with the tokens, and ``capacity`` of them have to fit into memory."""
        return GrowingCache(self.specs, num_rows, capacity)

    def decode(self, cache: GrowingCache, tokens: TokenIds) -> Scores:
        """Append one token to every row; (rows, vocab) float32."""
        return self._run(cache, tokens[:, None], np.ones((len(tokens), 1), dtype=np.int64), num_logits=1)[:, 0]

    def extend(self, cache: GrowingCache, rows: Sequence[TokenIds]) -> Scores:
        """Append tokens to every row; (rows, vocab) float32, the logits after each row's last token."""
        if self._is_single_token:
            return np.stack([logits[-1] for logits in self.score(cache, rows)])
        return self._run(cache, *_right_aligned(rows), num_logits=1)[:, 0]

    def score(self, cache: GrowingCache, rows: Sequence[TokenIds]) -> list[Scores]:
        """Append tokens to every row; the logits after each of them, (tokens, vocab) float32 per row."""
        if self._is_single_token:
            return self._score_token_by_token(cache, rows)
        block, mask = _right_aligned(rows)
        logits = self._run(cache, block, mask, num_logits=block.shape[1])
        return [row_logits[-len(tokens) :] for row_logits, tokens in zip(logits, rows, strict=True)]

    def _score_token_by_token(self, cache: GrowingCache, rows: Sequence[TokenIds]) -> list[Scores]:
        """A padded row would take its padding into the recurrent state, so rows run apart and meet again."""
        caches = [cache.only(row) for row in range(len(rows))] if len(rows) > 1 else [cache]
        logits = [
            np.concatenate([self.decode(one, tokens[index : index + 1]).copy() for index in range(len(tokens))])
            for one, tokens in zip(caches, rows, strict=True)
        ]
        if len(rows) > 1:
            cache.copy_from(GrowingCache.stacked(caches))
        return logits

    def _run(self, cache: GrowingCache, block: TokenIds, mask: NDArray[np.int64], num_logits: int) -> Scores:
        """Run right-aligned (rows, tokens) ids; logits of the last ``num_logits`` columns."""
        lengths = cache.lengths + mask.sum(axis=1, dtype=np.int32)
        if self.max_positions is not None and int(lengths.max()) > self.max_positions:
            raise InputTooLongError(
                f"{int(lengths.max())} tokens are needed with those in the cache; the model takes "
                f"{self.max_positions}. Start a new cache or shorten the input."
            )
        full_mask = np.concatenate([cache.mask, mask], axis=1)
        outputs = self._call(cache, self._feeds(block, full_mask, num_logits))
        cache.states = outputs[1:]
        cache.mask, cache.columns = full_mask, np.concatenate([cache.columns, block], axis=1)
        cache.lengths = lengths
        logits: NDArray[Any] = outputs[0].numpy()
        return logits[:, -num_logits:].astype(np.float32, copy=False)

    def _feeds(self, block: TokenIds, full_mask: NDArray[np.int64], num_logits: int) -> dict[str, NDArray[Any]]:
        rows, tokens = block.shape
        positions = np.maximum(np.cumsum(full_mask, axis=1) - 1, 0)
        feeds = {
            "input_ids": block,
            "attention_mask": full_mask,
            "position_ids": np.ascontiguousarray(positions[:, full_mask.shape[1] - tokens :]),
            "logits_to_keep": np.broadcast_to(np.arange(tokens - num_logits, tokens), (rows, num_logits)).copy(),
        }
        return {name: value for name, value in feeds.items() if name in self.session.input_names}

    def _call(self, cache: GrowingCache, feeds: dict[str, NDArray[Any]]) -> list[Any]:
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        values = {name: ort_value(value) for name, value in feeds.items()}
        values |= {spec.past.name: state for spec, state in zip(self.specs, cache.states, strict=True)}
        try:
            outputs: list[Any] = self.session.ort_session.run_with_ort_values(self._output_names, values)
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            shape = feeds["input_ids"].shape
            raise InputError(f"ONNX Runtime could not run the graph on ids {shape}: {first}") from error
        return outputs


def _require_memory(specs: Sequence[StateSpec], num_rows: int, capacity: int) -> None:
    needed = sum(spec.size_bytes(num_rows, capacity) for spec in specs)
    require_memory(needed, f"The KV cache for {num_rows} x {capacity} tokens")


def _right_aligned(rows: Sequence[TokenIds]) -> tuple[TokenIds, NDArray[np.int64]]:
    """(rows, tokens) ids padded on the left with zeros, and their mask."""
    width = max(map(len, rows))
    block, mask = np.zeros((len(rows), width), dtype=np.int64), np.zeros((len(rows), width), dtype=np.int64)
    for row, tokens in enumerate(rows):
        block[row, width - len(tokens) :] = tokens
        mask[row, width - len(tokens) :] = 1
    return block, mask


def _left_padded(array: NDArray[Any], width: int, axis: int | None) -> NDArray[Any]:
    """Zeros before the entries of an axis, up to ``width`` of them; None for an axis leaves the array as it is."""
    if axis is None:
        return array
    widths = [(width - array.shape[axis], 0) if index == axis else (0, 0) for index in range(array.ndim)]
    return np.pad(array, widths)
