"""Pad rows that are already token ids: ``tokenizer.pad``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, OptionError
from .batch_encoding import BatchEncoding
from .options import LengthOptions

# name → what padding adds to it; the main input and token types depend on the tokenizer.
_FIXED_FILLS = {"attention_mask": 0, "special_tokens_mask": 1}


def as_columns(encoded_inputs: Any) -> dict[str, Any]:
    """One mapping of name → rows, from a mapping or from a list of mappings (as a data loader collects them).

    Raises:
        InputTypeError: neither.
        InputError: rows that do not hold the same names.
    """
    if isinstance(encoded_inputs, Mapping):
        return dict(encoded_inputs)
    if not isinstance(encoded_inputs, list | tuple) or not all(isinstance(row, Mapping) for row in encoded_inputs):
        raise InputTypeError(
            f"got a {type(encoded_inputs).__name__}: pad takes the output of a tokenizer call, a dict of lists, or a"
            " list of such dicts"
        )
    names = list(encoded_inputs[0]) if encoded_inputs else []
    try:
        return {name: [row[name] for row in encoded_inputs] for name in names}
    except KeyError as error:
        raise InputError(f"the rows to pad do not all hold {error}: each must have {', '.join(names)}") from None


def as_lists(columns: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Columns as Python lists, and whether any was made of arrays."""
    had_arrays = False
    lists: dict[str, Any] = {}
    for name, value in columns.items():
        if isinstance(value, np.ndarray):
            had_arrays = True
            value = value.tolist()
        elif isinstance(value, list | tuple) and any(isinstance(row, np.ndarray) for row in value):
            had_arrays = True
            value = [row.tolist() if isinstance(row, np.ndarray) else row for row in value]
        lists[name] = list(value) if isinstance(value, tuple) else value
    return lists, had_arrays


def pad_columns(
    columns: dict[str, Any],
    lengths: LengthOptions,
    *,
    main_input: str,
    fills: Mapping[str, int],
    side: str,
    pad_to_multiple_of: int | None,
    with_attention_mask: bool,
) -> BatchEncoding:
    """Pad lists of ids.

    Args:
        columns: name → (seq,) list or (batch, seq) lists of ints.
        lengths: the padding strategy and its length.
        main_input: the name whose rows give the lengths.
        fills: name → value added to ``main_input`` and ``token_type_ids``.
        side: ``"right"`` or ``"left"``.
        pad_to_multiple_of: round the padded length up to a multiple of this.
        with_attention_mask: add ``attention_mask`` where it is missing, and pad it.

    Raises:
        InputError: columns with different numbers of rows.
    """
    rows = columns[main_input]
    if rows and not isinstance(rows[0], list | tuple):
        return BatchEncoding(
            _pad_row(columns, lengths, main_input, fills, side, pad_to_multiple_of, with_attention_mask)
        )
    for name, column in columns.items():
        if len(column) != len(rows):
            raise InputError(f"{name} has {len(column)} rows and {main_input} has {len(rows)}")
    if lengths.padding == "longest":
        lengths = LengthOptions("max_length", lengths.truncation, max(len(row) for row in rows))
    padded: dict[str, list[Any]] = {}
    for index in range(len(rows)):
        row = {name: column[index] for name, column in columns.items()}
        row = _pad_row(row, lengths, main_input, fills, side, pad_to_multiple_of, with_attention_mask)
        for name, value in row.items():
            padded.setdefault(name, []).append(value)
    return BatchEncoding(padded)


def _pad_row(
    row: dict[str, Any],
    lengths: LengthOptions,
    main_input: str,
    fills: Mapping[str, int],
    side: str,
    pad_to_multiple_of: int | None,
    with_attention_mask: bool,
) -> dict[str, Any]:
    """Source: ``PreTrainedTokenizerBase._pad`` of transformers 5.23."""
    length = len(row[main_input])
    target = length if lengths.padding == "longest" else lengths.max_length
    if target is not None and pad_to_multiple_of:
        target = -(-target // pad_to_multiple_of) * pad_to_multiple_of
    if with_attention_mask and "attention_mask" not in row:
        row = {**row, "attention_mask": [1] * length}
    if lengths.padding == "do_not_pad" or target is None:
        return row
    missing = max(0, target - length)
    every_fill = {**_FIXED_FILLS, **fills}
    if not with_attention_mask:
        del every_fill["attention_mask"]
    return {
        name: _extended(value, missing, every_fill[name], side) if name in every_fill else value
        for name, value in row.items()
    }


def _extended(values: Sequence[int], count: int, fill: int, side: str) -> list[int]:
    filler = [fill] * count
    return [*values, *filler] if side == "right" else [*filler, *values]


def check_padding_token(pad_token_id: int | None) -> int:
    """Return the id.

    Raises:
        OptionError: there is none.
    """
    if pad_token_id is None or pad_token_id < 0:
        raise OptionError(
            "asked to pad, and this tokenizer has no padding token: set one with tokenizer.pad_token ="
            " tokenizer.eos_token, or tokenizer.add_special_tokens({'pad_token': '[PAD]'})"
        )
    return pad_token_id
