"""What HTTP adds to a call: one short text through the server and through the pipeline, one client, in turns."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from headway.runtime import pipeline
from headway.runtime.threads import usable_cpu_count

from .environment import describe_environment
from .serving_process import BlockingClient, artifact, request, server

SHORT_TEXT = "A man is eating food."
NUM_ROUNDS = 6
NUM_CALLS = 60
NUM_WARM_UP = 40
# Both sides let idle threads spin for a moment after a call: they must not do it beside the other's calls.
PAUSE_S = 0.1

REQUESTS = {
    "/embed": {"inputs": SHORT_TEXT},
    "/v1/embeddings": {"model": "minilm", "input": SHORT_TEXT},
    "/v1/embeddings, base64": {"model": "minilm", "input": SHORT_TEXT, "encoding_format": "base64"},
}


def run() -> dict[str, Any]:
    """Measure, and return the record that report.py prints."""
    threads = usable_cpu_count()
    folder = artifact("minilm")
    embed = pipeline("embed", model=str(folder), device="cpu", num_threads=threads)
    with server(f"minilm={folder}", "--threads", str(threads)) as serving, BlockingClient(serving.port) as client:
        calls: dict[str, Callable[[], Any]] = {"in process": lambda: embed(SHORT_TEXT)}
        for name, body in REQUESTS.items():
            calls[name] = _call(client, request(name.partition(",")[0], body))
        taken = _take_turns(calls)
    return {
        "title": "What HTTP adds to a call: one short text through all-MiniLM-L6-v2, float32, one client",
        "settings": (
            f"{threads} threads, the server in a process of its own, in turns, medians of {NUM_ROUNDS} rounds of "
            f"{NUM_CALLS} calls; what HTTP adds is the median of each round's difference of medians."
        ),
        "machine": describe_environment(),
        "rows": [_row(name, taken) for name in calls],
        "rounds_ms": taken,
    }


def _call(client: BlockingClient, sent: bytes) -> Callable[[], Any]:
    return lambda: client.send(sent)


def _take_turns(calls: dict[str, Callable[[], Any]]) -> dict[str, list[list[float]]]:
    """Name → milliseconds of every call of every round."""
    taken: dict[str, list[list[float]]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(NUM_WARM_UP):
            call()
    for _ in range(NUM_ROUNDS):
        for name, call in calls.items():
            time.sleep(PAUSE_S)
            call()  # wakes the threads again
            taken[name].append([_milliseconds(call) for _ in range(NUM_CALLS)])
    return taken


def _row(name: str, taken: dict[str, list[list[float]]]) -> dict[str, Any]:
    added = [median(mine) - median(alone) for mine, alone in zip(taken[name], taken["in process"], strict=True)]
    every = [milliseconds for round_ in taken[name] for milliseconds in round_]
    return {
        "": name,
        "p50, ms": median(every),
        "p99, ms": float(np.percentile(every, 99)),
        "HTTP adds, ms": None if name == "in process" else median(added),
    }


def _milliseconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000
