"""BatchEncoding: what a tokenizer returns, a dictionary that also maps between tokens, words and characters."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError, OptionError

if TYPE_CHECKING:
    from tokenizers import Encoding


class CharSpan(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive) of the original text."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens ``start`` to ``end`` (exclusive) of an encoded text."""

    start: int
    end: int


class BatchEncoding(UserDict[str, Any]):
    """The output of a tokenizer call: arrays or lists by name, plus the alignment of each row with its text.

    Read a value by key (``batch["input_ids"]``) or attribute (``batch.input_ids``), pass all of them to a model
    (``model(**batch)``), or index by row (``batch[0]``) to get that row's ``tokenizers.Encoding``.

    Args:
        data: name → list of ints, list of lists, or int64 array of shape (batch, seq).
        encoding: the ``tokenizers.Encoding`` of each row, or a function that computes them when first needed.
        tensor_type: ``None`` to keep Python lists, ``"np"`` for int64 arrays.
        prepend_batch_axis: with ``tensor_type``, turn (seq,) values into (1, seq).
        n_sequences: 1 for single texts, 2 for pairs; read from the encodings when not given.

    Source of the interface: ``transformers.BatchEncoding``.
    """

    def __init__(
        self,
        data: dict[str, Any] | None = None,
        encoding: Encoding | Sequence[Encoding] | Callable[[], list[Encoding]] | None = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
    ) -> None:
        self.data = dict(data) if data else {}
        self._encodings: Any = [encoding] if hasattr(encoding, "type_ids") else encoding
        self._n_sequences = n_sequences
        if tensor_type is not None:
            self.convert_to_tensors(tensor_type, prepend_batch_axis=prepend_batch_axis)

    def __getitem__(self, item: Any) -> Any:
        """A value by name, or by row number its ``Encoding`` (a slice gives a list of them)."""
        if isinstance(item, str):
            return self.data[item]
        encodings = self.encodings
        if encodings is not None:
            return encodings[item]
        if isinstance(item, slice):
            return {key: value[item] for key, value in self.data.items()}
        raise KeyError(
            f"got the key {item!r}: use a name ({', '.join(self.data)}), or a slice; rows by number need the"
            " tokenizer's own output, and this batch was built without one"
        )

    def __getattr__(self, name: str) -> Any:
        data = self.__dict__.get("data", {})
        if name in data:
            return data[name]
        raise AttributeError(f"this BatchEncoding has no {name!r}; it holds {', '.join(data) or 'nothing'}")

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.data, "encodings": self.encodings, "n_sequences": self.n_sequences}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.data = state["data"]
        self._encodings = state["encodings"]
        self._n_sequences = state["n_sequences"]

    @property
    def encodings(self) -> list[Encoding] | None:
        """One ``tokenizers.Encoding`` per row; None when the batch did not come from a tokenizer."""
        if callable(self._encodings):
            self._encodings = self._encodings()
        return self._encodings  # type: ignore[no-any-return]

    @property
    def is_fast(self) -> bool:
        """Whether the alignment methods work (true for every tokenizer output)."""
        return self._encodings is not None

    @property
    def n_sequences(self) -> int | None:
        """1 when each row holds one text, 2 when it holds a pair, None when unknown."""
        if self._n_sequences is None and self.encodings:
            self._n_sequences = self.encodings[0].n_sequences
        return self._n_sequences

    def to(self, device: object = "cpu", *, non_blocking: bool = False) -> BatchEncoding:
        """Return self: numpy arrays stay in host memory, and a model's session copies them to its own device."""
        return self

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The token strings of a row."""
        return self._row(batch_index, "tokens()").tokens

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row the number of its word; None for special tokens."""
        return self._row(batch_index, "word_ids()").word_ids

    def words(self, batch_index: int = 0) -> list[int | None]:
        """The older name of ``word_ids``."""
        return self.word_ids(batch_index)

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row 0 (first text), 1 (second text) or None (special token)."""
        return self._row(batch_index, "sequence_ids()").sequence_ids

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """Which text (0 or 1) the token belongs to."""
        row, position = self._locate(batch_or_token_index, token_index, "token_to_sequence()")
        return row.token_to_sequence(_from_end(position, len(row)))

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The number of the word the token belongs to."""
        row, position = self._locate(batch_or_token_index, token_index, "token_to_word()")
        return row.token_to_word(_from_end(position, len(row)))

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """The characters the token covers; None for special tokens."""
        row, position = self._locate(batch_or_token_index, token_index, "token_to_chars()")
        span = row.token_to_chars(_from_end(position, len(row)))
        return None if span is None else CharSpan(*span)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token that covers the character; None where none does (trimmed spaces)."""
        row, position = self._locate(batch_or_char_index, char_index, "char_to_token()")
        return row.char_to_token(position, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The number of the word that holds the character."""
        row, position = self._locate(batch_or_char_index, char_index, "char_to_word()")
        return row.char_to_word(position, sequence_index)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word; None when it has none (truncated away)."""
        row, position = self._locate(batch_or_word_index, word_index, "word_to_tokens()")
        span = row.word_to_tokens(position, sequence_index)
        return None if span is None else TokenSpan(*span)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """The characters of a word."""
        row, position = self._locate(batch_or_word_index, word_index, "word_to_chars()")
        span = row.word_to_chars(position, sequence_index)
        return None if span is None else CharSpan(*span)

    def convert_to_tensors(self, tensor_type: str | None = None, prepend_batch_axis: bool = False) -> BatchEncoding:
        """Turn every list into an array in place.

        Args:
            tensor_type: ``"np"``; None changes nothing.
            prepend_batch_axis: add a leading axis of 1 first.

        Raises:
            OptionError: another ``tensor_type``.
            InputError: rows of different lengths.
        """
        if tensor_type is None:
            return self
        check_tensor_type(tensor_type)
        for key, value in self.data.items():
            rows = [value] if prepend_batch_axis else value
            if not isinstance(rows, np.ndarray):
                self.data[key] = _as_array(key, rows)
        return self

    def _row(self, index: int, method: str) -> Encoding:
        encodings = self.encodings
        if not encodings:
            raise InputError(f"{method} needs a batch that came from a tokenizer call; this one was built without")
        if not -len(encodings) <= index < len(encodings):
            raise InputError(f"{method} got row {index}, and this batch has {len(encodings)} rows")
        return encodings[index]

    def _locate(self, first: int, second: int | None, method: str) -> tuple[Encoding, int]:
        if second is None:
            return self._row(0, method), first
        return self._row(first, method), second


def check_tensor_type(tensor_type: object) -> None:
    """Raise OptionError unless ``tensor_type`` is ``"np"``."""
    if tensor_type != "np":
        raise OptionError(
            f'got return_tensors={tensor_type!r}: Headway works with numpy arrays only, use return_tensors="np"'
            " (or None for Python lists)"
        )


def _as_array(key: str, rows: Any) -> np.ndarray[Any, Any]:
    try:
        array = np.asarray(rows)
    except ValueError:
        lengths = sorted({len(row) for row in rows})
        raise InputError(
            f"the rows of {key!r} have lengths {lengths[0]} to {lengths[-1]} and do not fit one array: pass"
            " padding=True (and truncation=True to cut long texts), or return_tensors=None to get lists"
        ) from None
    # Empty lists give floats, and numpy 1 on Windows gives 32-bit integers.
    return array.astype(np.int64, copy=False) if array.size == 0 or array.dtype.kind == "i" else array


def _from_end(index: int, length: int) -> int:
    return length + index if index < 0 else index
