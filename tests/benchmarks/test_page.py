"""The page of measurements: whole, self-contained, and of the recorded numbers."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from typing import Any

from headway.benchmarks.page import main, page
from headway.benchmarks.page_plot import Row, Scale, plot

MACHINE = {"processor": "A CPU", "cpus": 2, "python": "3.11.7", "packages": {}}
FIGURES = {
    "ours": {"p50": 2.0, "p90": 2.5, "p99": 2.9, "calls": 4, "ratio": 1.0, "ms": [[2.0, 2.0], [2.0, 3.0]]},
    "PyTorch <fp32>": {"p50": 8.0, "p90": 9.0, "p99": 9.9, "calls": 4, "ratio": 4.0, "ms": [[8.0, 8.0], [8.0, 12.0]]},
}
RECORD: dict[str, Any] = {
    "title": "A classifier",
    "settings": "Two threads.",
    "machine": MACHINE,
    "rows": [{"": "ours", "1×16, ms": "2 (×1.00)"}],
    "cases": {"1×16": FIGURES},
    "engines": {
        "ours": {"group": "fp32", "is_ours": True, "baseline": "ours", "accuracy": {"cosine": 0.9999}},
        "PyTorch <fp32>": {"group": "fp32", "is_ours": False, "baseline": "ours", "accuracy": {}, "load_s": 1.5},
    },
    "unavailable": {"elsewhere": "pip: no <wheel>"},
}
ROWS_ALONE = {"title": "Rows", "settings": "s", "machine": MACHINE, "rows": [{"": "x", "ms": 12.345}]}


class _Balance(HTMLParser):
    """Fails where a tag is closed that is not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "line", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "circle"):
            assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing() -> None:
    text = page([RECORD, ROWS_ALONE])
    balance = _Balance()
    balance.feed(text)
    assert balance.open == []
    assert not re.search(r"https?:|<script|<link|@import|url\(", text)
    assert "prefers-color-scheme: dark" in text


def test_the_page_shows_what_was_recorded() -> None:
    text = page([RECORD, ROWS_ALONE])
    assert "PyTorch &lt;fp32&gt;: p50 8 ms, p90 10.8 ms" in text
    assert "PyTorch &lt;fp32&gt;: 4 times Headway's time, the median of 2 rounds" in text
    assert "cosine 0.9999" in text
    assert "elsewhere: pip: no &lt;wheel&gt;" in text
    assert "<td>12.3</td>" in text


def test_a_plot_draws_every_call_and_every_ratio() -> None:
    rows = [Row("one", "", True, [1.0, 2.0, 4.0], [1.0, 1.0]), Row("two", "note", False, [8.0] * 3, [4.0, 2.0])]
    tree = ElementTree.fromstring(plot("title", {"fp32": rows}))
    assert len(tree.findall(".//circle")) == 3 + 2 + 3 + 2
    assert [text.text for text in tree.iter("text") if text.get("class") == "group"] == ["fp32"]
    assert tree.get("aria-label") == "title"


def test_many_calls_are_thinned_out() -> None:
    tree = ElementTree.fromstring(plot("t", {"g": [Row("one", "", True, [float(n + 1) for n in range(1000)], [])]}))
    assert 100 <= len(tree.findall(".//circle")) <= 130


def test_a_scale_is_logarithmic_and_has_ticks_even_where_it_is_short() -> None:
    scale = Scale(1.0, 100.0, 0, 200)
    assert [scale.at(value) for value in (1.0, 10.0, 100.0)] == [0, 100, 200]
    assert scale.ticks() == [1, 2, 5, 10, 20, 50, 100]
    assert len(Scale(1.01, 1.4, 0, 100).ticks()) >= 3
    assert Scale(1.01, 1.04, 0, 100).ticks()


def test_the_page_in_docs_shows_the_recorded_measurements() -> None:
    assert main(["--check"]) == 0
