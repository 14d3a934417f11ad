import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tiny_heads import Heads

from headway.runtime import AutoModel
from headway.runtime.errors import InputError, OptionError
from headway.runtime.pipelines import streams
from headway.runtime.pipelines.streams import MIN_TOKENS, SideSession, side_by_side

WORDS = ["the", "quick", "brown", "fox", "jumps", "over"]
TEXTS = [" ".join(WORDS[: 1 + place % 6]) for place in range(400)]


def sides(heads: Heads, num_threads: int = 2) -> tuple[Any, SideSession]:
    session = AutoModel.from_pretrained(heads("backbone").folder, num_threads=num_threads).session
    return session, SideSession(session)


def test_results_come_in_order_whoever_is_first() -> None:
    def slow_at_first(item: int) -> int:
        time.sleep(0.05 if item == 0 else 0)
        return item * 2

    assert list(side_by_side(slow_at_first, range(20), 3)) == [(item, item * 2) for item in range(20)]


def test_one_stream_runs_in_the_callers_thread() -> None:
    threads = {thread for _, thread in side_by_side(lambda item: threading.current_thread(), range(3), 1)}
    assert threads == {threading.current_thread()}


def test_streams_run_at_the_same_time() -> None:
    barrier = threading.Barrier(2)
    results = list(side_by_side(lambda item: barrier.wait(timeout=10), range(6), 2))
    assert len(results) == 6


def test_items_are_taken_as_they_are_needed() -> None:
    taken = []
    results = side_by_side(lambda item: item, (taken.append(item) or item for item in range(100)), 2)
    next(results)
    assert len(taken) == 4


def test_an_error_reaches_the_caller_and_ends_the_threads() -> None:
    def fail(item: int) -> int:
        raise InputError("bad")

    with pytest.raises(InputError, match="bad"):
        list(side_by_side(fail, range(10), 2))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("headway-run")]


def test_threads_that_are_kept_run_the_next_work_too_and_nothing_is_left_on_them() -> None:
    with ThreadPoolExecutor(2, thread_name_prefix="kept") as kept:
        running, ended = threading.Event(), threading.Event()

        def slow_at_last(item: int) -> threading.Thread:
            if item == 3:
                running.set()
                time.sleep(0.05)
                ended.set()
            return threading.current_thread()

        results = side_by_side(slow_at_last, range(100), 2, kept)
        assert next(results)[1].name.startswith("kept")
        assert running.wait(10)
        results.close()
        assert ended.is_set(), "who stops listening waits for what has begun"
        names = {name for _, name in side_by_side(lambda item: threading.current_thread().name, range(20), 2, kept)}
        assert names <= {"kept_0", "kept_1"}


def test_little_work_stays_on_the_models_session(heads: Heads) -> None:
    session, side = sides(heads)
    assert side.for_work(MIN_TOKENS - 1, None) == (session, 1)


def test_much_work_opens_a_session_of_one_thread_and_keeps_it(heads: Heads) -> None:
    session, side = sides(heads)
    opened, num_streams = side.for_work(MIN_TOKENS, None)
    assert opened is not session
    assert (opened.num_threads, num_streams) == (1, 2)
    assert side.for_work(96, None) == (opened, 2)
    assert side.for_work(95, None) == (session, 1), "one stream's batch is faster on all threads"
    assert side.for_work(MIN_TOKENS, 5) == (opened, 5)


def test_who_expects_more_work_gets_the_second_session_sooner(heads: Heads) -> None:
    session, side = sides(heads)
    assert side.for_work(512, None) == (session, 1)
    side.expect_more()
    assert side.for_work(95, None) == (session, 1)
    opened, num_streams = side.for_work(96, None)
    assert (opened.num_threads, num_streams) == (1, 2)
    assert side.threads(2) is side.threads(2) is not None
    assert side.threads(1) is side.threads(3) is None


def test_no_second_session_where_it_is_not_wanted(heads: Heads, monkeypatch: pytest.MonkeyPatch) -> None:
    session, side = sides(heads)
    assert side.for_work(MIN_TOKENS, 1) == (session, 1)
    session, side = sides(heads, num_threads=1)
    assert side.for_work(MIN_TOKENS, None) == (session, 1)
    monkeypatch.setattr(streams, "_MAX_MODEL_BYTES", 1000)
    session, side = sides(heads)
    assert side.for_work(MIN_TOKENS, None) == (session, 1)


def test_embeddings_are_the_same_side_by_side(heads: Heads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MIN_TOKENS", 1)
    embed = heads("backbone").pipeline("embed")
    np.testing.assert_allclose(embed(TEXTS, num_streams=3), embed(TEXTS, num_streams=1), atol=1e-5)


def test_an_option_out_of_range(heads: Heads) -> None:
    with pytest.raises(OptionError, match="num_streams is 0"):
        heads("backbone").pipeline("embed", num_streams=0)
