"""Memory in huge pages: what is moved, what is left alone, and when a decoder asks for it."""

from __future__ import annotations

import mmap
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from headway.runtime import Session, SessionOptions, huge_pages
from headway.runtime.generation import decoder as decoder_module
from headway.runtime.generation.decoder import Decoder

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has MADV_COLLAPSE")


def huge_bytes(array: np.ndarray) -> int:
    """Bytes of the mapping around the middle of an array that lie in huge pages."""
    address, is_inside = array.__array_interface__["data"][0] + array.nbytes // 2, False
    with open("/proc/self/smaps", encoding="ascii", errors="replace") as file:
        for line in file:
            start, dash, rest = line.split(" ", 1)[0].partition("-")
            if dash and all(character in "0123456789abcdef" for character in start):
                is_inside = int(start, 16) <= address < int(rest, 16)
            elif is_inside and line.startswith("AnonHugePages:"):
                return int(line.split()[1]) * 1024
    return 0


@linux_only
def test_what_is_in_use_moves_and_keeps_its_values() -> None:
    values = np.random.default_rng(0).standard_normal(4 << 20)  # 32 MB
    before, was_huge = values.copy(), huge_bytes(values)
    if not huge_pages.collapse():
        pytest.skip("this kernel has no MADV_COLLAPSE")
    np.testing.assert_array_equal(values, before)
    assert huge_bytes(values) >= max(was_huge, 24 << 20)


@linux_only
@pytest.mark.parametrize("is_filled", [True, False])
def test_memory_that_is_hardly_used_is_left_alone(is_filled: bool) -> None:
    with mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_DONTFORK)  # a mapping of its own: Linux joins neighbours that are alike
        values = np.frombuffer(memory, dtype=np.uint8)
        middle = values.__array_interface__["data"][0] + (32 << 20)
        values[:: 4096 if is_filled else len(values) - 1] = 1
        assert any(start <= middle < end for start, end in huge_pages._pieces()) == is_filled
        del values


def test_the_environment_can_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    called = threading.Event()
    monkeypatch.setattr(huge_pages, "collapse", called.set)
    monkeypatch.setenv(huge_pages.SWITCH, "0")
    huge_pages.collapse_soon()
    assert not called.wait(0.2)
    monkeypatch.delenv(huge_pages.SWITCH)
    huge_pages.collapse_soon()
    assert called.wait(5) == (sys.platform == "linux")


@pytest.mark.parametrize(("megabytes", "expected"), [(100, [32, 1024]), (1, [])])
def test_a_session_asks_after_some_runs_and_once_more(
    monkeypatch: pytest.MonkeyPatch, megabytes: int, expected: list[int]
) -> None:
    asked: list[int] = []
    pages = huge_pages.HugePagesOfSession(megabytes << 20)
    for run in range(1, 3000):
        monkeypatch.setattr(huge_pages, "collapse_soon", lambda run=run: asked.append(run))
        pages.count_run()
    assert asked == expected


def test_runs_of_a_graph_are_counted(monkeypatch: pytest.MonkeyPatch, classifier: Path) -> None:
    asked = threading.Event()
    monkeypatch.setattr(huge_pages, "LEAST_BYTES", 1)
    monkeypatch.setattr(huge_pages, "collapse_soon", asked.set)
    session = Session(classifier / "onnx" / "model.onnx", options=SessionOptions("cpu"))
    feeds = {"input_ids": np.array([[5, 6]]), "attention_mask": np.array([[1, 1]])}
    for _ in range(huge_pages.RUNS_BEFORE_MOVE[0] - 1):
        session.run(feeds)
    assert not asked.is_set()
    session.run(feeds)
    assert asked.is_set()


@pytest.mark.parametrize(("megabytes", "expected"), [(100, 1), (1, 0)])
def test_a_decoder_asks_once_with_its_second_text(
    monkeypatch: pytest.MonkeyPatch, megabytes: int, expected: int
) -> None:
    asked = []
    monkeypatch.setattr(decoder_module, "collapse_soon", lambda: asked.append(True))
    session = SimpleNamespace(pack=lambda: None, num_bytes=megabytes << 20)
    decoder = Decoder.__new__(Decoder)
    decoder.session = decoder.prefill_session = session  # type: ignore[assignment]
    decoder.place = SimpleNamespace(is_separate=False)  # type: ignore[assignment]
    decoder._calls, decoder._has_huge_pages = 0, False
    for _ in range(2):
        assert decoder._session_for(1, 1) is session
    assert not asked
    for _ in range(3):
        decoder._session_for(1, 1)
    assert len(asked) == expected
