"""Many clients of one head: throughput of 32 clients at once beside that of one client in sequence, in turns."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from headway.runtime import pipeline
from headway.runtime.threads import usable_cpu_count

from .environment import describe_environment
from .sentences import real_sentences
from .serving_process import Client, Serving, artifact, request, run_clients, server

NUM_CLIENTS = 32
NUM_ROUNDS = 3
NUM_TEXTS = 320
PAUSE_S = 0.1
DTYPES = ("fp32", "int8")

_QUERY_WORDS = (2, 12)
_ONE = "one client"
_MANY = f"{NUM_CLIENTS} clients"
_ONE_IN_PROCESS = "in process, one by one"
_LIST_IN_PROCESS = "in process, one list"


def run() -> dict[str, Any]:
    """Measure, and return the record that report.py prints."""
    threads = usable_cpu_count()
    folder = artifact("minilm", DTYPES)
    sentences = real_sentences(NUM_TEXTS)
    texts = {"sentences": sentences, "queries": [_query(text, number) for number, text in enumerate(sentences)]}
    rounds = {
        f"{dtype}, {kind}": _measure(folder, dtype, each, threads) for dtype in DTYPES for kind, each in texts.items()
    }
    return {
        "title": f"{NUM_TEXTS} texts of mixed length, one a request, through all-MiniLM-L6-v2",
        "settings": (
            f"Sentences of 3 to 86 words, queries of 2 to 12. {threads} threads, the server in a process of its own, "
            f"its clients in another, in turns, medians of {NUM_ROUNDS} rounds after a warm-up; ratios are medians of "
            "each round's ratio. CPU is processor time a text, of the server's own process, of the model's, and of all "
            "clients together. The lines in process show what joining texts is worth here without any server."
        ),
        "machine": describe_environment(),
        "rows": [_row(kind, name, rounds[kind]) for kind in rounds for name in rounds[kind][0]],
        "rounds": rounds,
    }


def _query(sentence: str, number: int) -> str:
    """The first words of a sentence: as many as people search with."""
    least, most = _QUERY_WORDS
    return " ".join(sentence.split()[: least + number % (most - least + 1)])


def _measure(folder: Path, dtype: str, texts: Sequence[str], threads: int) -> list[dict[str, dict[str, Any]]]:
    """What each round took, by line of the table; the warm-up is left out."""
    requests = [request("/embed", {"inputs": text}) for text in texts]
    embed = pipeline("embed", model=str(folder), dtype=dtype, device="cpu", num_threads=threads)
    rounds = []
    with server(f"minilm={folder}", "--threads", str(threads), "--dtype", dtype) as serving:
        for _ in range(NUM_ROUNDS + 1):
            rounds.append(
                {
                    _ONE: _over_http(serving, requests, 1),
                    _MANY: _over_http(serving, requests, NUM_CLIENTS),
                    _ONE_IN_PROCESS: _in_process(embed, texts, 1),
                    _LIST_IN_PROCESS: _in_process(embed, texts, NUM_TEXTS),
                }
            )
    return rounds[1:]


def _over_http(serving: Serving, requests: Sequence[bytes], num_clients: int) -> dict[str, Any]:
    before = serving.cpu_seconds()
    taken = run_clients(_send_all(serving.port, requests, num_clients))
    after = serving.cpu_seconds()
    return {**taken, "cpu_ms": {name: (after[name] - before[name]) / len(requests) * 1000 for name in after}}


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


def _row(kind: str, name: str, rounds: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    mine = [taken[name] for taken in rounds]
    every = [milliseconds for taken in mine for milliseconds in taken["milliseconds"]]
    cpu = [taken["cpu_ms"] for taken in mine if "cpu_ms" in taken]
    return {
        "": f"{kind}, {name}",
        "texts a second": NUM_TEXTS / median(taken["seconds"] for taken in mine),
        "p50, ms": median(every),
        "p99, ms": float(np.percentile(every, 99)),
        "throughput / one client's": median(taken[_ONE]["seconds"] / taken[name]["seconds"] for taken in rounds),
        "CPU ms: server": median(each["server"] for each in cpu) if cpu else None,
        "model": median(each["workers"] for each in cpu) if cpu else None,
        "clients": median(each["client"] for each in cpu) if cpu else None,
    }
