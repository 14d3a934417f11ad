"""SmolLM2-135M in fp32: prefill and decode of Headway beside every peer that runs it, in turns.

Each engine answers through its user's call: once for one new token, which is the prefill, and once for many. The
difference is the decode. All get the same ids and threads, and their tokens are compared.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from headway.runtime import AutoTokenizer
from headway.runtime.threads import usable_cpu_count

from .environment import describe_environment
from .peers.environments import environment_python
from .peers.worker import Worker
from .real_models import fetch
from .sentences import real_sentences

PROMPT_TOKENS = 128
NEW_TOKENS = 64
NUM_ROUNDS = 5

# Engine → (environment, or None for this one; module of its worker).
ENGINES: Mapping[str, tuple[str | None, str]] = {
    "Headway": (None, "headway_decoder"),
    "onnxruntime-genai 0.18": ("onnxruntime-genai", "genai_decoder"),
    "optimum-onnx 0.1 ORTModelForCausalLM": ("optimum-onnx", "optimum_decoder"),
    "transformers, PyTorch": (None, "transformers_decoder"),
}


def run() -> dict[str, Any]:
    """Measure, and return the record that report.py prints."""
    threads = usable_cpu_count()
    checkpoint, work = fetch("smollm2"), _work_folder()
    _export(checkpoint, work / "headway")
    ids = [_prompt(checkpoint)]
    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(_worker(name, checkpoint, work, threads)) for name in ENGINES}
        answers = {name: worker.ask(ids=ids, num_tokens=NEW_TOKENS)["result"] for name, worker in workers.items()}
        rounds = [_round(workers, ids) for _ in range(NUM_ROUNDS)]
        peak = {name: worker.ask(ids=ids, num_tokens=1)["peak_memory_bytes"] for name, worker in workers.items()}
    return {
        "title": f"SmolLM2-135M, float32: prompt of {PROMPT_TOKENS} tokens, {NEW_TOKENS} greedy tokens, batch 1",
        "settings": (
            f"{threads} threads each, a process each, in turns, medians of {NUM_ROUNDS} rounds after a warm-up; ratios "
            "are medians of each round's ratio."
        ),
        "machine": describe_environment(),
        "rows": [_row(name, rounds, peak[name], answers) for name in ENGINES],
        "rounds": rounds,
    }


def _round(workers: Mapping[str, Worker], ids: list[list[int]]) -> dict[str, dict[str, float]]:
    """Seconds of the prefill, and of each decoded token, of every engine."""
    result = {}
    for name, worker in workers.items():
        prefill_s = worker.ask(ids=ids, num_tokens=1)["seconds"]
        total_s = worker.ask(ids=ids, num_tokens=NEW_TOKENS)["seconds"]
        result[name] = {"prefill_s": prefill_s, "token_s": (total_s - prefill_s) / (NEW_TOKENS - 1)}
    return result


def _row(
    name: str, rounds: list[dict[str, dict[str, float]]], peak: int, answers: Mapping[str, list[list[int]]]
) -> dict[str, Any]:
    def ratio(figure: str) -> float:
        return median(taken[name][figure] / taken["Headway"][figure] for taken in rounds)

    return {
        "": name,
        "prefill, ms": median(taken[name]["prefill_s"] for taken in rounds) * 1000,
        "decode, tokens/s": 1 / median(taken[name]["token_s"] for taken in rounds),
        "p90, ms a token": float(np.percentile([taken[name]["token_s"] * 1000 for taken in rounds], 90)),
        "Headway's prefill is faster by": ratio("prefill_s"),
        "Headway's decode is faster by": ratio("token_s"),
        "peak memory, MB": peak // 1_000_000,
        "same tokens": "yes" if answers[name] == answers["transformers, PyTorch"] else "no",
    }


def _worker(name: str, checkpoint: Path, work: Path, threads: int) -> Worker:
    environment, module = ENGINES[name]
    python = Path(sys.executable) if environment is None else environment_python(environment)
    return Worker(python, f"headway.benchmarks.peers.{module}", [str(checkpoint), str(work), str(threads)], threads)


def _export(checkpoint: Path, folder: Path) -> None:
    # In a process of its own: what torch leaves in memory must not count against anyone.
    command = [str(Path(sys.executable).with_name("headway")), "export", str(checkpoint), str(folder), "--overwrite"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _prompt(checkpoint: Path) -> list[int]:
    ids: list[int] = AutoTokenizer.from_pretrained(checkpoint)(" ".join(real_sentences(60)))["input_ids"]
    return ids[:PROMPT_TOKENS]


def _work_folder() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "headway" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
