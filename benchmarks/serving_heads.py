"""Many clients of one head: throughput of 32 clients at once beside that of one client in sequence, in turns."""

import asyncio
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from headway.runtime import pipeline
from headway.runtime.threads import usable_cpu_count

from .environment import describe_environment
from .sentences import real_sentences
from .serving_process import Client, artifact, request, server

NUM_CLIENTS = 32
NUM_ROUNDS = 2
NUM_TEXTS = 320
PAUSE_S = 0.1


def run() -> dict[str, Any]:
    """Measure, and return the record that report.py prints."""
    threads = usable_cpu_count()
    folder = artifact("minilm")
    texts = real_sentences(NUM_TEXTS)
    requests = [request("/embed", {"inputs": text}) for text in texts]
    embed = pipeline("embed", model=str(folder), device="cpu", num_threads=threads)
    rounds = []
    with server(f"minilm={folder}", "--threads", str(threads)) as port:
        for number in range(NUM_ROUNDS + 1):
            taken = {
                "one client, one text after the other": asyncio.run(_send_all(port, requests, 1)),
                f"{NUM_CLIENTS} clients at once": asyncio.run(_send_all(port, requests, NUM_CLIENTS)),
                "in process, one text after the other": _in_process(embed, texts, 1),
                f"in process, lists of {NUM_CLIENTS} texts": _in_process(embed, texts, NUM_CLIENTS),
                "in process, all texts in one list": _in_process(embed, texts, NUM_TEXTS),
            }
            if number:  # the first is the warm-up
                rounds.append(taken)
    return {
        "title": f"{NUM_TEXTS} sentences of mixed length, one a request, through all-MiniLM-L6-v2, float32",
        "settings": (
            f"{threads} threads, the server in a process of its own, its clients in another, in turns, medians of "
            f"{NUM_ROUNDS} rounds after a warm-up; ratios are medians of each round's ratio. The lines in process show "
            "what joining texts into a batch is worth on this machine without any server."
        ),
        "machine": describe_environment(),
        "rows": [_row(name, rounds) for name in rounds[0]],
        "rounds": rounds,
    }


async def _send_all(port: int, requests: Sequence[bytes], num_clients: int) -> dict[str, Any]:
    """Share the requests among clients, each of which waits for one answer before the next request."""
    clients = [await Client.open(port) for _ in range(num_clients)]
    milliseconds: list[float] = []
    waiting = iter(requests)

    async def work(client: Client) -> None:
        for sent in waiting:
            started = time.perf_counter()
            await client.send(sent)
            milliseconds.append((time.perf_counter() - started) * 1000)

    await asyncio.sleep(PAUSE_S)
    started = time.perf_counter()
    await asyncio.gather(*(work(client) for client in clients))
    seconds = time.perf_counter() - started
    for client in clients:
        await client.close()
    return {"seconds": seconds, "milliseconds": milliseconds}


def _in_process(embed: Any, texts: Sequence[str], num_together: int) -> dict[str, Any]:
    time.sleep(PAUSE_S)
    milliseconds = []
    started = time.perf_counter()
    for first in range(0, len(texts), num_together):
        began = time.perf_counter()
        embed(list(texts[first : first + num_together]))
        milliseconds.append((time.perf_counter() - began) * 1000)
    return {"seconds": time.perf_counter() - started, "milliseconds": milliseconds}


def _row(name: str, rounds: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    base = "one client, one text after the other"
    every = [milliseconds for taken in rounds for milliseconds in taken[name]["milliseconds"]]
    return {
        "": name,
        "texts a second": len(rounds[0][base]["milliseconds"]) / median(taken[name]["seconds"] for taken in rounds),
        "p50, ms": median(every),
        "p99, ms": float(np.percentile(every, 99)),
        "throughput / one client's": median(taken[base]["seconds"] / taken[name]["seconds"] for taken in rounds),
    }
