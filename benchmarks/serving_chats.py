"""Chats that share a decoder: 8 at once beside the same 8 one after the other, in turns."""

import asyncio
import time
from statistics import median
from typing import Any

import numpy as np

from headway.runtime.threads import usable_cpu_count

from .environment import describe_environment
from .serving_process import Client, artifact, request, run_clients, server

NUM_CHATS = 8
NUM_ROUNDS = 2
NEW_TOKENS = 64
DTYPES = ("fp32", "q4")

# Of different lengths, and different in every round: no prompt may come out of the server's cache.
TOPICS = (
    "a lighthouse",
    "a baker who lost her recipe book and asks the whole village for help",
    "the first day of a new school year, told by the school's oldest chair, which has seen many such days",
    "two rivers",
    "a very small dragon that is afraid of fire",
    "a train that leaves on time for the first time in forty years, and the people who miss it because of that",
    "rain",
    "an old clock whose hands turn backwards at night, and the child who is the only one to know",
)


def run() -> dict[str, Any]:
    """Measure, and return the record that report.py prints."""
    threads = usable_cpu_count()
    folder = artifact("smollm2", DTYPES)
    rounds: dict[str, list[dict[str, Any]]] = {}
    for dtype in DTYPES:
        with server(f"smollm2={folder}", "--threads", str(threads), "--dtype", dtype) as serving:
            run_clients(_round(serving.port, NUM_CHATS, "warm-up"))
            rounds[dtype] = [
                {
                    "alone": run_clients(_round(serving.port, 1, f"{number} alone")),
                    "together": run_clients(_round(serving.port, NUM_CHATS, f"{number} together")),
                }
                for number in range(NUM_ROUNDS)
            ]
    return {
        "title": f"{NUM_CHATS} chats with SmolLM2-135M, {NEW_TOKENS} tokens each, one after the other and at once",
        "settings": (
            f"{threads} threads, the server in a process of its own, streamed, in turns, medians of {NUM_ROUNDS} "
            "rounds after a warm-up; ratios are medians of each round's ratio. A token's time is that between two "
            "events of a stream; throughput counts prompts and waiting too."
        ),
        "machine": describe_environment(),
        "rows": [_row(dtype, kind, rounds[dtype]) for dtype in DTYPES for kind in ("alone", "together")],
        "rounds": rounds,
    }


async def _round(port: int, num_clients: int, label: str) -> dict[str, Any]:
    """Run every chat with so many clients; seconds, tokens, and the time of each token in milliseconds."""
    waiting = iter([_chat(label, topic) for topic in TOPICS])
    clients = [await Client.open(port) for _ in range(num_clients)]
    taken: dict[str, Any] = {"num_tokens": 0, "first_ms": [], "token_ms": []}

    async def work(client: Client) -> None:
        for sent in waiting:
            await _follow(client, sent, taken)

    started = time.perf_counter()
    await asyncio.gather(*(work(client) for client in clients))
    taken["seconds"] = time.perf_counter() - started
    for client in clients:
        await client.close()
    return taken


def _chat(label: str, topic: str) -> bytes:
    text = f"Story {label}. Write a long story about {topic}. Begin at once, and do not stop early."
    body = {
        "model": "smollm2",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": NEW_TOKENS,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return request("/v1/chat/completions", body)


async def _follow(client: Client, sent: bytes, taken: dict[str, Any]) -> None:
    last = time.perf_counter()
    is_first = True
    for at, event in await client.events(sent):
        if event.get("usage"):
            taken["num_tokens"] += event["usage"]["completion_tokens"]
        if not any(choice["delta"].get("content") for choice in event["choices"]):
            continue
        taken["first_ms" if is_first else "token_ms"].append((at - last) * 1000)
        last, is_first = at, False


def _row(dtype: str, kind: str, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    def speed(taken: dict[str, Any]) -> float:
        return float(taken["num_tokens"] / taken["seconds"])

    def slowest(taken: dict[str, Any]) -> float:
        return float(np.percentile(taken["token_ms"], 99))

    mine = [taken[kind] for taken in rounds]
    return {
        "": f"{dtype}, " + (f"{NUM_CHATS} at once" if kind == "together" else "one after the other"),
        "tokens a second": median(speed(taken) for taken in mine),
        "first token, p50, ms": median(value for taken in mine for value in taken["first_ms"]),
        "a token, p50, ms": median(value for taken in mine for value in taken["token_ms"]),
        "a token, p99, ms": median(slowest(taken) for taken in mine),
        "tokens a second / one's": median(speed(taken[kind]) / speed(taken["alone"]) for taken in rounds),
        "p99 / one's": median(slowest(taken[kind]) / slowest(taken["alone"]) for taken in rounds),
    }
