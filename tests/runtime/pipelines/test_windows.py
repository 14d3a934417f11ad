import threading
import time
from collections.abc import Iterator

import pytest

from headway.runtime.pipelines.windows import FIRST_WINDOW_SIZE, Window, prepared_ahead, windows


def test_windows_hold_every_item_in_order() -> None:
    cut = list(windows(iter(range(1000)), 300))
    assert [item for window in cut for item in window.items] == list(range(1000))
    assert [len(window.items) for window in cut] == [FIRST_WINDOW_SIZE, 300, 300, 144]
    assert [window.first_index for window in cut] == [0, 256, 556, 856]
    assert [window.is_full for window in cut] == [True, True, True, False]


def test_an_empty_source_has_no_window() -> None:
    assert list(windows(iter([]), 10)) == []


def test_a_slow_source_gets_small_windows() -> None:
    def slow() -> Iterator[int]:
        for item in range(4):
            time.sleep(0.06)
            yield item

    cut = list(windows(slow(), 100))
    assert [item for window in cut for item in window.items] == [0, 1, 2, 3]
    assert len(cut) > 1
    assert not any(window.is_full for window in cut)


def test_names_of_items() -> None:
    assert Window(["a"], is_single=True).name(0) == "The input"
    assert Window(["a", "b"], first_index=256).name(1) == "Input 257"


def test_the_next_window_is_prepared_while_the_current_one_is_used() -> None:
    started = threading.Event()

    def prepare(window: Window) -> int:
        if window.first_index:
            started.set()
        return window.first_index

    prepared = prepared_ahead(windows(iter(range(600)), 256), prepare)
    assert next(prepared) == 0
    assert started.wait(timeout=10)
    assert list(prepared) == [256, 512]


@pytest.mark.parametrize("num_used", [1, 2])
def test_the_source_is_read_one_window_ahead(num_used: int) -> None:
    taken = []

    def source() -> Iterator[int]:
        for item in range(10_000):
            taken.append(item)
            yield item

    prepared = prepared_ahead(windows(source(), 100), lambda window: window.first_index)
    for _ in range(num_used):
        next(prepared)
    assert len(taken) == 100 * (num_used + 1)


def test_the_source_is_read_in_the_callers_thread() -> None:
    threads = set()

    def source() -> Iterator[int]:
        for item in range(700):
            threads.add(threading.current_thread())
            yield item

    list(prepared_ahead(windows(source(), 100), lambda window: None))
    assert threads == {threading.current_thread()}


def test_an_error_comes_when_its_window_is_reached() -> None:
    def prepare(window: Window) -> int:
        if window.first_index >= 200:
            raise ValueError("bad")
        return window.first_index

    prepared = prepared_ahead(windows(iter(range(500)), 100), prepare)
    assert [next(prepared), next(prepared)] == [0, 100]
    with pytest.raises(ValueError, match="bad"):
        next(prepared)


def test_leaving_early_ends_the_thread() -> None:
    prepared = prepared_ahead(windows(iter(range(1000)), 100), lambda window: None)
    next(prepared)
    prepared.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("headway-tokenize")]
