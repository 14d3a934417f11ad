"""One plot: a row for each engine, all its calls on the left, its ratios to Headway on the right. Inline SVG."""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .statistics import percentile

WIDTH = 1000
_NAMES_END, _CALLS, _RATIOS = 300, (315, 650), (715, 960)
_ROW, _GROUP, _AXIS = 34, 24, 30
_MOST_DOTS = 120


@dataclass(frozen=True)
class Row:
    """One engine.

    Args:
        name: of the engine.
        note: under the name, such as its accuracy.
        is_ours: Headway.
        calls: milliseconds of every timed call.
        ratios: for each round, its time over Headway's.
    """

    name: str
    note: str
    is_ours: bool
    calls: Sequence[float]
    ratios: Sequence[float]

    @property
    def median(self) -> float:
        """Milliseconds that half of the calls do not exceed."""
        return percentile(self.calls, 50)


@dataclass(frozen=True)
class Scale:
    """A logarithmic axis.

    Args:
        least: value at the left end.
        most: value at the right end.
        left: where it begins.
        right: where it ends.
    """

    least: float
    most: float
    left: float
    right: float

    @classmethod
    def around(cls, values: Sequence[float], ends: tuple[int, int]) -> "Scale":
        """An axis that holds all values, with a little room on both sides."""
        return cls(min(values) / 1.08, max(values) * 1.08, *ends)

    def at(self, value: float) -> float:
        """Where a value lies."""
        share = math.log(value / self.least) / math.log(self.most / self.least)
        return round(self.left + share * (self.right - self.left), 1)

    def ticks(self) -> list[float]:
        """Round values on the axis: 1, 2 and 5 times powers of ten, and more of them where it is short."""
        powers = range(math.floor(math.log10(self.least)), math.ceil(math.log10(self.most)) + 1)
        for steps in ((1, 2, 5), (1, 1.5, 2, 3, 5, 7), tuple(1 + tenth / 10 for tenth in range(90))):
            found = [step * 10.0**power for power in powers for step in steps]
            inside = [value for value in found if self.least <= value <= self.most]
            if len(inside) >= 3:
                return inside[:: math.ceil(len(inside) / 9)]
        return [self.least, self.most]


def plot(title: str, groups: Mapping[str, Sequence[Row]]) -> str:
    """The SVG of one case.

    Args:
        title: for those who cannot see it.
        groups: heading → rows, in the order they are drawn.
    """
    rows = [row for members in groups.values() for row in members]
    calls = Scale.around([value for row in rows for value in row.calls], _CALLS)
    ratios = Scale.around([1.0, *(value for row in rows for value in row.ratios)], _RATIOS)
    height = _AXIS + sum(_GROUP + _ROW * len(members) for members in groups.values()) + 8
    parts = [
        *_axis(calls, height, "ms"),
        *_axis(ratios, height, "× Headway's time"),
        _line(ratios.at(1), height, "one"),
    ]
    top = _AXIS
    for heading, members in groups.items():
        parts.append(f'<text class="group" x="0" y="{top + 16}">{html.escape(heading)}</text>')
        top += _GROUP
        for row in members:
            parts.extend(_row(row, top + _ROW / 2, calls, ratios))
            top += _ROW
    label = html.escape(title, quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _axis(scale: Scale, height: int, unit: str) -> Iterator[str]:
    yield f'<text class="soft" x="{scale.right}" y="10" text-anchor="end">{unit}</text>'
    for value in scale.ticks():
        x = scale.at(value)
        yield _line(x, height, "axis")
        yield f'<text class="soft" x="{x}" y="24" text-anchor="middle">{value:.4g}</text>'


def _line(x: float, height: int, name: str) -> str:
    return f'<line class="{name}" x1="{x}" x2="{x}" y1="{_AXIS}" y2="{height - 4}"/>'


def _row(row: Row, middle: float, calls: Scale, ratios: Scale) -> Iterator[str]:
    name = html.escape(row.name, quote=False)
    yield f'<text class="{"ours" if row.is_ours else ""}" x="8" y="{middle}">{name}</text>'
    if row.note:
        yield f'<text class="soft" x="8" y="{middle + 12}">{html.escape(row.note, quote=False)}</text>'
    colour = "ours" if row.is_ours else "peer"
    p50, p90, p99 = (percentile(row.calls, share) for share in (50, 90, 99))
    yield f"<g><title>{name}: p50 {p50:.3g} ms, p90 {p90:.3g} ms, p99 {p99:.3g} ms, {len(row.calls)} calls</title>"
    yield from _dots(row.calls, calls, middle, colour)
    yield _mark(calls.at(p50), middle, 9, f"{colour} middle")
    yield _mark(calls.at(p90), middle, 6, f"{colour} tail")
    yield _mark(calls.at(p99), middle, 6, f"{colour} tail")
    yield "</g>"
    if row.ratios:
        yield from _ratio(row, name, middle, ratios)


def _ratio(row: Row, name: str, middle: float, scale: Scale) -> Iterator[str]:
    typical = percentile(row.ratios, 50)
    colour = "ours" if row.is_ours else "ahead" if typical >= 1 else "behind"
    yield f"<g><title>{name}: {typical:.3g} times Headway's time, the median of {len(row.ratios)} rounds</title>"
    yield from _dots(row.ratios, scale, middle, colour)
    yield _mark(scale.at(typical), middle, 9, f"{colour} middle")
    yield f'</g><text class="soft" x="{WIDTH}" y="{middle + 4}" text-anchor="end">{typical:.2f}</text>'


def _dots(values: Sequence[float], scale: Scale, middle: float, colour: str) -> Iterator[str]:
    """A dot for each value, in three tracks so that near ones can be told apart."""
    step = math.ceil(len(values) / _MOST_DOTS)
    for number, value in enumerate(values[::step]):
        yield f'<circle class="{colour}" cx="{scale.at(value)}" cy="{middle + 5 * (number % 3 - 1)}" r="2.5"/>'


def _mark(x: float, middle: float, reach: int, name: str) -> str:
    return f'<line class="{name}" x1="{x}" x2="{x}" y1="{middle - reach}" y2="{middle + reach}"/>'
