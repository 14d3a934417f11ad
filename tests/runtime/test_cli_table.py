"""Results as text."""

from typing import Any

import numpy as np
import pytest

from headway.runtime.commands.table import result_lines, size_text, table


def test_table() -> None:
    rows = [["cat", 1, 0.5], ["lynx\n", 20, -1.25]]
    assert table(rows, ["animal", "count", "score"], indent=1) == [
        " animal  count    score",
        " cat         1   0.5000",
        " lynx\\n     20  -1.2500",
    ]
    assert table([]) == []


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"label": "POSITIVE", "score": 0.987654}, ["label      score", "POSITIVE  0.9877"]),
        ([{"label": "A", "score": 1.0}], ["label   score", "A      1.0000"]),
        ([{"a": 1}, {"a": 2, "b": None}], ["a  b", "1  -", "2  -"]),
        (
            {"sequence": "x", "labels": ["a", "b"], "scores": [0.75, 0.25]},
            ["labels  scores", "a       0.7500", "b       0.2500"],
        ),
        ([], ["nothing found"]),
        ([[{"a": 1}], [{"a": 2}]], ["a", "1", "", "a", "2"]),
        ("text", ["text"]),
        (np.array([3.0, 4.0], np.float32), ["[3.0000, 4.0000]  2 values of length 5.000"]),
        (np.zeros((1, 2, 8)), ["[0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000, …]  shape (1, 2, 8)"]),
    ],
)
def test_results(result: Any, expected: list[str]) -> None:
    assert result_lines(result) == expected
    assert result_lines(result, indent=2) == [f"  {line}".rstrip() for line in expected]


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (90_868_376, "90.9 MB"), (2 * 10**9, "2.0 GB")],
)
def test_sizes(num_bytes: int, text: str) -> None:
    assert size_text(num_bytes) == text
