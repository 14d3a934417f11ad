"""What a running encoder-decoder keeps: the encoder's keys and values, and those of the decoder so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import TensorSpec
from ..providers import import_onnxruntime
from .memory import require_memory


@dataclass(frozen=True)
class EncodedInputs:
    """What the encoder gave for a batch of inputs.

    Args:
        states: decoder graph's input → its value, (batch, heads, encoder length, head_dim) as an OrtValue.
        attention_mask: (batch, encoder length) int64.
        last_hidden_state: (batch, encoder length, hidden), an OrtValue.
    """

    states: Mapping[str, Any]
    attention_mask: NDArray[np.int64]
    last_hidden_state: Any

    @property
    def num_rows(self) -> int:
        """Inputs of the batch."""
        return len(self.attention_mask)

    def select(self, rows: NDArray[np.integer]) -> EncodedInputs:
        """Those of ``rows``, in that order."""
        return EncodedInputs(
            {name: select_rows(state, rows) for name, state in self.states.items()},
            self.attention_mask[rows],
            select_rows(self.last_hidden_state, rows),
        )


class Seq2SeqCache:
    """Keys and values of several decoder rows, all of one length, and of the inputs they were given.

    Args:
        encoded: the inputs; each is one decoder row at first.
        specs: the decoder graph's inputs for its own past.
        can_share: whether the graph lets several decoder rows continue from one input.
    """

    def __init__(self, encoded: EncodedInputs, specs: Sequence[TensorSpec], *, can_share: bool) -> None:
        self.encoded = encoded
        self.can_share = can_share
        # Which input each decoder row continues from: rows of one input are neighbours, and equally many.
        self.input_rows = np.arange(encoded.num_rows)
        self.length = 0
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        self.states: dict[str, Any] = {
            spec.name: ort_value(np.zeros(_shape(spec, encoded.num_rows, 0), dtype=spec.dtype)) for spec in specs
        }
        self._encoded_value: tuple[EncodedInputs, Any] | None = None

    def __repr__(self) -> str:
        return f"Seq2SeqCache(rows={self.num_rows}, length={self.length})"

    @property
    def num_rows(self) -> int:
        """Decoder rows."""
        return len(self.input_rows)

    @property
    def size_bytes(self) -> int:
        """What all keys and values take."""
        states = (*self.states.values(), *self.encoded.states.values())
        return sum(int(state.tensor_size_in_bytes()) for state in states)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens of the decoder so far, as transformers' caches say it."""
        return self.length

    def select(self, rows: NDArray[np.integer]) -> None:
        """Let row ``i`` become what row ``rows[i]`` was; a row may come several times, or not at all."""
        if np.array_equal(rows, np.arange(self.num_rows)):
            return
        self.states = {name: select_rows(state, rows) for name, state in self.states.items()}
        self._select_inputs(self.input_rows[rows])

    def truncate(self, length: int) -> None:
        """Forget all but the first ``length`` tokens of every row."""
        if length >= self.length:
            return
        self.length = length
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        self.states = {
            name: ort_value(np.ascontiguousarray(state.numpy()[:, :, :length])) for name, state in self.states.items()
        }

    def _select_inputs(self, input_rows: NDArray[np.integer]) -> None:
        """Keep the encoder's rows as they are if the decoder's still share them evenly; else give each its own."""
        kept = np.unique(input_rows) if self.can_share else input_rows
        rows_per_input = len(input_rows) // len(kept)
        if not np.array_equal(np.repeat(kept, rows_per_input), input_rows):
            kept, rows_per_input = input_rows, 1
        if not np.array_equal(kept, np.arange(self.encoded.num_rows)):
            self.encoded = self.encoded.select(kept)
        self.input_rows = np.repeat(np.arange(len(kept)), rows_per_input)


def select_rows(state: Any, rows: NDArray[np.integer]) -> Any:
    """Rows of an OrtValue as a new one."""
    return import_onnxruntime().OrtValue.ortvalue_from_numpy(np.ascontiguousarray(state.numpy()[rows]))


def require_cache_memory(specs: Sequence[TensorSpec], num_rows: int, length: int) -> None:
    """Refuse a generation whose keys and values would not fit.

    Raises:
        CacheMemoryError: says how many bytes they need.
    """
    needed = sum(int(np.prod(_shape(spec, num_rows, length))) * np.dtype(spec.dtype).itemsize for spec in specs)
    require_memory(needed, f"The decoder's KV cache for {num_rows} x {length} tokens")


def _shape(spec: TensorSpec, num_rows: int, length: int) -> tuple[int, int, int, int]:
    return (num_rows, int(spec.shape[1]), length, int(spec.shape[3]))
