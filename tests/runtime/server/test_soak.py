"""A short storm of random requests: nothing hangs, nothing leaks, no answer is wrong."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from headway.benchmarks.soak import Report, storm
from headway.benchmarks.soak_questions import same_answer
from headway.benchmarks.soak_server import resident_bytes, serving

NUM_REQUESTS = 400


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_storm_of_random_requests(chat_folder: Path, head_folders: dict[str, Path], num_workers: int) -> None:
    """``python -m headway.benchmarks.soak`` does ten thousand."""
    models = [f"chat={chat_folder}", *(f"{name}={folder}" for name, folder in head_folders.items())]
    with serving([*models, "--threads", "1", "--workers", str(num_workers)]) as (process_id, url):
        report = storm(url, process_id, num_requests=NUM_REQUESTS, num_clients=4, seed=num_workers)
    # So short a storm is mostly warm-up; the command's thousands of requests show whether memory is flat.
    assert [failure for failure in report.failures if "memory" not in failure] == []
    assert report.growth_mb < 300
    assert sum(report.statuses.values()) == NUM_REQUESTS
    assert {"200", "400", "404", "left"} <= report.statuses.keys()
    assert min(report.resident_mb) > 20


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (Report(wrong=["embed 1: [0.5]"]), "wrong"),
        (Report(hung=["embed 1"]), "not answered"),
        (Report(statuses=Counter({"500": 1})), "500"),
        (Report(pending=1.0), "counts"),
        (Report(resident_mb=[500.0 + 10 * number for number in range(40)]), "memory"),
    ],
    ids=["wrong", "hung", "failed", "pending", "leak"],
)
def test_what_goes_wrong_is_said(report: Report, said: str) -> None:
    (failure,) = report.failures
    assert said in failure
    assert json.loads(report.to_json())["failures"] == [failure]


def test_memory_that_a_start_takes_is_no_leak() -> None:
    assert Report(resident_mb=[100.0 * min(number, 5) for number in range(40)]).failures == []


def test_answers_are_compared_within_a_tolerance() -> None:
    one = (200, {"id": "a", "data": [{"score": 0.5, "label": "x"}]})
    assert same_answer(one, (200, {"id": "b", "data": [{"score": 0.50001, "label": "x"}]}))
    assert not same_answer(one, (200, {"id": "a", "data": [{"score": 0.6, "label": "x"}]}))
    assert not same_answer(one, (200, {"id": "a", "data": [{"score": 0.5, "label": "y"}]}))
    assert not same_answer(one, (503, one[1]))
    assert not same_answer(one, (200, {"id": "a", "data": []}))


def test_a_process_has_memory() -> None:
    assert 10 << 20 < resident_bytes(os.getpid()) < 100 << 30
