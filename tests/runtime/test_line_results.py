"""Lines through a stream: order kept, bad lines alone, memory bounded."""

import random
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from headway.runtime.commands.line_reader import Line
from headway.runtime.commands.line_results import LineRunner
from headway.runtime.errors import HeadwayError, InputError, ProviderError

WINDOW = 8


class FakePipeline:
    """Doubles numbers in windows as a pipeline does; a negative number spoils its window."""

    def __init__(self) -> None:
        self.num_run = 0
        self.sizes: list[int] = []

    def stream(self, items: Iterable[int], **options: Any) -> Iterator[int]:
        window: list[int] = []
        for item in items:
            window.append(item)
            if len(window) == WINDOW:
                yield from self._results(window)
                window = []
        if window:
            yield from self._results(window)

    def _results(self, window: list[int]) -> list[int]:
        self.sizes.append(len(window))
        if min(window) < 0:
            raise InputError(f"Input {window.index(min(window))} is negative.")
        self.num_run += len(window)
        return [item * 2 for item in window]


def number(line: Line) -> int:
    try:
        return int(line.content)
    except ValueError as error:
        raise InputError(f"line {line.number} is no number.") from error


def outcomes(contents: list[bytes], pipeline: FakePipeline | None = None) -> list[Any]:
    lines = [Line(index, content) for index, content in enumerate(contents, start=1)]
    results = list(LineRunner(pipeline or FakePipeline(), number).run([lines[:20], lines[20:]]))  # type: ignore[arg-type]
    assert [result.line for result in results] == lines
    return [result.result if result.error is None else str(result.error) for result in results]


def test_no_lines() -> None:
    assert outcomes([]) == []


def test_good_lines_run_once() -> None:
    pipeline = FakePipeline()
    assert outcomes([b"%d" % value for value in range(50)], pipeline) == [value * 2 for value in range(50)]
    assert pipeline.num_run == 50
    assert max(pipeline.sizes) == WINDOW
    assert pipeline.sizes == [8, 8, 4, 8, 8, 8, 6]


@pytest.mark.parametrize("seed", range(40))
def test_bad_lines_anywhere(seed: int) -> None:
    draw = random.Random(seed)
    kinds = draw.choices(["good", "bad item", "no item"], weights=[8, draw.random() * 3, draw.random() * 3], k=60)
    contents = [
        {"good": b"%d" % index, "bad item": b"-1", "no item": b"x"}[kind] for index, kind in enumerate(kinds, start=1)
    ]
    for index, (kind, outcome) in enumerate(zip(kinds, outcomes(contents), strict=True), start=1):
        expected = {"good": index * 2, "bad item": "Input 0 is negative.", "no item": f"line {index} is no number."}
        assert outcome == expected[kind]


def test_one_bad_line_costs_little() -> None:
    pipeline = FakePipeline()
    outcomes([b"-1" if value == 3 else b"1" for value in range(64)], pipeline)
    assert pipeline.num_run == 63


def test_lines_are_read_as_they_are_needed() -> None:
    num_read = 0

    def endless() -> Iterator[Line]:
        nonlocal num_read
        while True:
            num_read += 1
            yield Line(num_read, b"-1" if num_read % 5 == 0 else b"1")

    results = LineRunner(FakePipeline(), number).run([endless()])  # type: ignore[arg-type]
    for position in range(1, 200):
        assert next(results).line.number == position
        assert num_read < position + 2 * WINDOW


@pytest.mark.parametrize("failure", [ProviderError("gone"), InputError("before any line")])
def test_failures_that_no_line_makes(failure: HeadwayError) -> None:
    class Broken(FakePipeline):
        def stream(self, items: Iterable[int], **options: Any) -> Iterator[int]:
            raise failure
            yield 0

    with pytest.raises(type(failure), match=str(failure)):
        list(LineRunner(Broken(), number).run([[Line(1, b"1")]]))  # type: ignore[arg-type]
