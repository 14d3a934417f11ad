"""SmolLM2-135M: prefill and decode of Headway beside every peer that runs it, in turns; run() in fp32.

Each engine answers through its user's call: once for one new token, which is the prefill, and once for many. The
difference is the decode. All get the same ids and threads, and their tokens are compared.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Engine:
    """Who decodes, and how its worker is started.

    Args:
        environment: that it runs in; None for this one.
        module: of its worker.
        precision: what the worker is asked to load.
    """

    environment: str | None
    module: str
    precision: str = "fp32"


# Name → how close an engine's answers are to what they should be, for a column of the table.
Accuracy = Callable[[Path, Path, Mapping[str, list[list[int]]]], Mapping[str, Any]]

ENGINES: Mapping[str, Engine] = {
    "Headway": Engine(None, "headway_decoder"),
    "onnxruntime-genai 0.18": Engine("onnxruntime-genai", "genai_decoder"),
    "optimum-onnx 0.1 ORTModelForCausalLM": Engine("optimum-onnx", "optimum_decoder"),
    "transformers, PyTorch": Engine(None, "transformers_decoder"),
}


def run() -> dict[str, Any]:
    """Measure, and return the record that report.py prints."""
    return compare("float32", ENGINES, ["fp32"], "same tokens", _same_tokens)


def compare(
    precision: str, engines: Mapping[str, Engine], dtypes: Sequence[str], column: str, accuracy: Accuracy
) -> dict[str, Any]:
    """Measure some engines in turns.

    Args:
        precision: for the title.
        engines: the first is what the others are compared with.
        dtypes: what Headway exports.
        column: heading of the figure that ``accuracy`` gives for each engine.
    """
    threads = usable_cpu_count()
    checkpoint, work = fetch("smollm2"), _work_folder()
    _export(checkpoint, work / "headway", dtypes)
    ids = [_prompt(checkpoint)]
    with contextlib.ExitStack() as stack:
        workers = {
            name: stack.enter_context(_worker(engine, checkpoint, work, threads)) for name, engine in engines.items()
        }
        answers = {name: worker.ask(ids=ids, num_tokens=NEW_TOKENS)["result"] for name, worker in workers.items()}
        rounds = [_round(workers, ids) for _ in range(NUM_ROUNDS)]
        peak = {name: worker.ask(ids=ids, num_tokens=1)["peak_memory_bytes"] for name, worker in workers.items()}
    figures = accuracy(checkpoint, work, answers)
    return {
        "title": f"SmolLM2-135M, {precision}: prompt of {PROMPT_TOKENS} tokens, {NEW_TOKENS} greedy tokens, batch 1",
        "settings": (
            f"{threads} threads each, a process each, in turns, medians of {NUM_ROUNDS} rounds after a warm-up; ratios "
            "are medians of each round's ratio."
        ),
        "machine": describe_environment(),
        "rows": [{**_row(name, next(iter(engines)), rounds, peak[name]), column: figures[name]} for name in engines],
        "rounds": rounds,
    }


def _same_tokens(checkpoint: Path, work: Path, answers: Mapping[str, list[list[int]]]) -> dict[str, str]:
    expected = answers["transformers, PyTorch"]
    return {name: "yes" if tokens == expected else "no" for name, tokens in answers.items()}


def _round(workers: Mapping[str, Worker], ids: list[list[int]]) -> dict[str, dict[str, float]]:
    """Seconds of the prefill, and of each decoded token, of every engine."""
    result = {}
    for name, worker in workers.items():
        prefill_s = worker.ask(ids=ids, num_tokens=1)["seconds"]
        total_s = worker.ask(ids=ids, num_tokens=NEW_TOKENS)["seconds"]
        result[name] = {"prefill_s": prefill_s, "token_s": (total_s - prefill_s) / (NEW_TOKENS - 1)}
    return result


def _row(name: str, first: str, rounds: list[dict[str, dict[str, float]]], peak: int) -> dict[str, Any]:
    def ratio(figure: str) -> float:
        return median(taken[name][figure] / taken[first][figure] for taken in rounds)

    return {
        "": name,
        "prefill, ms": median(taken[name]["prefill_s"] for taken in rounds) * 1000,
        "decode, tokens/s": 1 / median(taken[name]["token_s"] for taken in rounds),
        "p90, ms a token": float(np.percentile([taken[name]["token_s"] * 1000 for taken in rounds], 90)),
        f"{first}'s prefill is faster by": ratio("prefill_s"),
        f"{first}'s decode is faster by": ratio("token_s"),
        "peak memory, MB": peak // 1_000_000,
    }


def _worker(engine: Engine, checkpoint: Path, work: Path, threads: int) -> Worker:
    python = Path(sys.executable) if engine.environment is None else environment_python(engine.environment)
    arguments = [str(checkpoint), str(work), str(threads)]
    if engine.precision != "fp32":
        arguments.append(engine.precision)
    return Worker(python, f"headway.benchmarks.peers.{engine.module}", arguments, threads)


_PREPARE = """
import sys
from headway.runtime import AutoModelForCausalLM
AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=sys.argv[2], device="cpu", session_cache=True)
"""


def _export(checkpoint: Path, folder: Path, dtypes: Sequence[str]) -> None:
    # In processes of their own: what torch, and preparing the sessions, leave in memory must not count against anyone.
    headway = str(Path(sys.executable).with_name("headway"))
    command = [headway, "export", str(checkpoint), str(folder), "--dtype", *dtypes, "--overwrite"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for dtype in dtypes:
        subprocess.run([sys.executable, "-c", _PREPARE, str(folder), dtype], check=True)


def _prompt(checkpoint: Path) -> list[int]:
    ids: list[int] = AutoTokenizer.from_pretrained(checkpoint)(" ".join(real_sentences(60)))["input_ids"]
    return ids[:PROMPT_TOKENS]


def _work_folder() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "headway" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
