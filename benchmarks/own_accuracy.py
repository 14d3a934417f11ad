"""How near the answers of a user's own model are to those of the first engine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np


def outputs_agreement(answers: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, float]]:
    """How near each engine's outputs are to the first one's, over all cases; the files are removed.

    Args:
        answers: case → engine → path of its output.
    """
    found: dict[str, dict[str, float]] = {}
    for paths in answers.values():
        arrays = {name: np.load(path) for name, path in paths.items()}
        for path in paths.values():
            Path(path).unlink()
        expected = next(iter(arrays.values()))
        for name, array in arrays.items():
            figures = _agreement(array, expected)
            known = found.setdefault(name, figures)
            found[name] = {
                "least cosine": min(known["least cosine"], figures["least cosine"]),
                "largest difference": max(known["largest difference"], figures["largest difference"]),
            }
    return found


def _agreement(array: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> dict[str, float]:
    ours, theirs = (values.reshape(len(values), -1).astype(np.float64) for values in (array, expected))
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosines = (ours * theirs).sum(axis=1) / np.maximum(lengths, 1e-30)
    difference = float(np.abs(ours - theirs).max() / max(float(np.abs(theirs).max()), 1e-30))
    return {"least cosine": round(float(cosines.min()), 6), "largest difference": float(f"{difference:.2g}")}


def tokens_agreement(
    answers: Mapping[str, Mapping[str, Sequence[Sequence[int]]]], ending: str
) -> dict[str, dict[str, float]]:
    """The share of greedy tokens that equal the first engine's, up to the first that does not; the least of all cases.

    Args:
        answers: case → engine → rows of tokens.
        ending: of the names of the cases that count.
    """
    found: dict[str, dict[str, float]] = {}
    for case, engines in answers.items():
        if not case.endswith(ending):
            continue
        expected = next(iter(engines.values()))
        for name, rows in engines.items():
            shares = [_same_share(row, other) for row, other in zip(rows, expected, strict=True)]
            percent = round(100 * median(shares), 1)
            found[name] = {"same tokens, %": min(percent, found.get(name, {}).get("same tokens, %", percent))}
    return found


def _same_share(tokens: Sequence[int], expected: Sequence[int]) -> float:
    pairs = list(zip(tokens, expected, strict=False))
    return next((count for count, (one, other) in enumerate(pairs) if one != other), len(pairs)) / len(expected)
