"""Rows of audio of different lengths: cut, filled up, and masked.

Source: transformers 5.23, feature_extraction_sequence_utils.py (`pad`, `_pad`, `_truncate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError

Array = NDArray[Any]

_STRATEGIES = {True: "longest", False: "do_not_pad", None: "do_not_pad"}


@dataclass(frozen=True)
class Padding:
    """How rows become one length.

    Args:
        strategy: ``"longest"`` or True, ``"max_length"``, ``"do_not_pad"`` or False.
        max_length: for ``"max_length"`` and ``truncation``.
        truncation: cut rows over ``max_length``.
        multiple: lengths become multiples of this.
        side: ``"right"`` or ``"left"``.
        value: what fills rows up.
    """

    strategy: bool | str | None = False
    max_length: int | None = None
    truncation: bool = False
    multiple: int | None = None
    side: str = "right"
    value: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.strategy, str):
            object.__setattr__(self, "strategy", _STRATEGIES[self.strategy])
        if self.strategy not in ("longest", "max_length", "do_not_pad"):
            raise OptionError(
                f"padding is {self.strategy!r}; allowed are 'longest' or True, 'max_length', 'do_not_pad' or False."
            )
        if self.side not in ("right", "left"):
            raise OptionError(f"padding_side is {self.side!r}; allowed are 'right' and 'left'.")
        if self.max_length is None and (self.truncation or self.strategy == "max_length"):
            name = "truncation=True" if self.truncation else "padding='max_length'"
            raise OptionError(f"{name} needs max_length=.")

    @property
    def pads(self) -> bool:
        """Whether rows are filled up."""
        return self.strategy != "do_not_pad"

    def __call__(self, rows: Sequence[Array]) -> tuple[list[Array], list[NDArray[np.int32]]]:
        """Rows (length, …) cut and filled up, and a mask (length,) int32 of what is no filling for each."""
        cut = [self._cut(row) for row in rows]
        target = self._rounded(self.max_length) if self.strategy == "max_length" else None
        if self.strategy == "longest":
            target = self._rounded(max(len(row) for row in cut))
        filled = [self._filled(row, target or 0) for row in cut]
        return [row for row, _ in filled], [mask for _, mask in filled]

    def with_default(self, max_length: int) -> Padding:
        """The same with ``max_length`` where none is set."""
        return self if self.max_length is not None else replace(self, max_length=max_length)

    def _cut(self, row: Array) -> Array:
        limit = self._rounded(self.max_length) if self.truncation else None
        return row if limit is None else row[:limit]

    def _filled(self, row: Array, target: int) -> tuple[Array, NDArray[np.int32]]:
        missing = max(0, target - len(row))
        where = (0, missing) if self.side == "right" else (missing, 0)
        mask = np.pad(np.ones(len(row), dtype=np.int32), where)
        if not missing:
            return row, mask
        return np.pad(row, (where, *[(0, 0)] * (row.ndim - 1)), constant_values=self.value), mask

    def _rounded(self, length: int | None) -> int | None:
        if length is None or not self.multiple:
            return length
        return -(-length // self.multiple) * self.multiple
