"""Results and facts as aligned text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_SHOWN_VALUES = 6
_LENGTH_DECIMALS = 3


def table(rows: Sequence[Sequence[Any]], header: Sequence[str] | None = None, indent: int = 0) -> list[str]:
    """Lines of a table with aligned columns; numbers to the right, everything else to the left.

    >>> table([["cat", 0.5], ["horse", 12]])
    ['cat    0.5000', 'horse      12']
    """
    cells = [[cell_text(value) for value in row] for row in rows]
    numeric = [all(_is_number(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    if header:
        cells.insert(0, list(header))
        numeric = numeric or [False] * len(header)
    widths = [max(len(row[column]) for row in cells) for column in range(len(numeric))]
    lines = []
    for row in cells:
        padded = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, numeric, strict=True)
        ]
        lines.append((" " * indent + "  ".join(padded)).rstrip())
    return lines


def cell_text(value: Any) -> str:
    """One value, short: four decimals for a fraction, line ends made visible."""
    if isinstance(value, float | np.floating):
        return f"{float(value):.4f}"
    if value is None:
        return "-"
    return str(value).replace("\r", "\\r").replace("\n", "\\n")


def result_lines(result: Any, indent: int = 0) -> list[str]:
    """A pipeline's result of one item: labels and scores as a table, vectors abbreviated.

    >>> result_lines([{"label": "POSITIVE", "score": 0.75}, {"label": "NEGATIVE", "score": 0.25}])
    ['label      score', 'POSITIVE  0.7500', 'NEGATIVE  0.2500']
    """
    if isinstance(result, np.ndarray):
        return [" " * indent + _array_text(result)]
    if isinstance(result, Mapping):
        return _mapping_lines(result, indent)
    if isinstance(result, list) and result and all(isinstance(entry, Mapping) for entry in result):
        columns = list(dict.fromkeys(key for entry in result for key in entry))
        return table([[entry.get(column) for column in columns] for entry in result], columns, indent)
    if isinstance(result, list) and not result:
        return [" " * indent + "nothing found"]
    if isinstance(result, list):
        return [line for entry in result for line in (*result_lines(entry, indent), "")][:-1]
    return [" " * indent + cell_text(result)]


def _mapping_lines(result: Mapping[str, Any], indent: int) -> list[str]:
    """Lists of equal length become columns, such as zero-shot's labels and scores; what is no list stays out then."""
    lists = {name: value for name, value in result.items() if isinstance(value, list)}
    if lists and all(isinstance(entry, Mapping) for value in lists.values() for entry in value):
        # Such as a transcript and its timed chunks.
        whole = [value for name, value in result.items() if name not in lists]
        below = [line for value in lists.values() for line in result_lines(value, indent + 2)]
        return [*(" " * indent + cell_text(value) for value in whole), *below]
    if lists and len({len(value) for value in lists.values()}) == 1:
        return table(list(zip(*lists.values(), strict=True)), list(lists), indent)
    return table([list(result.values())], list(result), indent)


def _array_text(array: np.ndarray[Any, Any]) -> str:
    values = array.reshape(-1)
    shown = ", ".join(f"{value:.4f}" for value in values[:_SHOWN_VALUES].tolist())
    more = ", …" if values.size > _SHOWN_VALUES else ""
    if array.ndim == 1:
        length = float(np.linalg.norm(values.astype(np.float64)))
        return f"[{shown}{more}]  {values.size} values of length {length:.{_LENGTH_DECIMALS}f}"
    return f"[{shown}{more}]  shape {array.shape}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def size_text(num_bytes: int) -> str:
    """Bytes in the largest unit that leaves at least one, as powers of ten.

    >>> size_text(90_900_000)
    '90.9 MB'
    """
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.1f} {unit}"
    return f"{num_bytes} bytes"
