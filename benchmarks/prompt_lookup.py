"""Prompt lookup on texts that repeat themselves: model calls and tokens a second, with and without it.

The cases are what prompt lookup is for: a summary takes words from its text, an edit repeats most of its code. Every
engine gets the same ids and threads, and takes turns; the tokens of all must be the same.
"""

import heapq
import inspect
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from headway.export import export
from headway.runtime import AutoModelForCausalLM, AutoTokenizer
from headway.runtime.threads import usable_cpu_count

from .environment import describe_environment
from .real_models import fetch
from .sentences import real_sentences

NUM_NEW_TOKENS = 96
NUM_CANDIDATES = 10
NUM_ROUNDS = 3

Ids = list[int]
Generate = Callable[[Ids], Ids]


def run() -> dict[str, Any]:
    """Measure, and return the record that report.py prints."""
    threads = usable_cpu_count()
    checkpoint = fetch("smollm2")
    cases = {name: _chat_ids(checkpoint, request) for name, request in _requests().items()}
    with tempfile.TemporaryDirectory() as folder:
        artifact = Path(folder) / "smollm2"
        export(checkpoint, artifact, progress=False)
        engines = {**_headway_engines(artifact, threads), **_transformers_engines(checkpoint, threads)}
        calls = {name: _count_calls(artifact, threads, ids) for name, ids in cases.items()}
        rounds = {name: _rounds(engines, ids) for name, ids in cases.items()}
    return {
        "title": f"Prompt lookup with SmolLM2-135M, float32: {NUM_NEW_TOKENS} greedy tokens, batch 1",
        "settings": (
            f"prompt_lookup_num_tokens={NUM_CANDIDATES}; {threads} threads each, in one process, in turns, medians of "
            f"{NUM_ROUNDS} rounds after a warm-up; times hold the prefill. Model calls count the prefill too."
        ),
        "machine": describe_environment(),
        "rows": [row for name in cases for row in _rows(name, len(cases[name]), rounds[name], calls[name])],
    }


def _requests() -> dict[str, str]:
    text = " ".join(real_sentences(24))
    code = inspect.getsource(heapq._siftup)  # type: ignore[attr-defined]
    return {
        "summary": f"Summarize the most important points of this text.\n\n{text}",
        "code edit": (
            f"Rename the variable pos to index in this Python code. Change nothing else.\n\n```python\n{code}```"
        ),
    }


def _chat_ids(checkpoint: Path, request: str) -> Ids:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    encoded = tokenizer.apply_chat_template([{"role": "user", "content": request}], add_generation_prompt=True)
    ids: Ids = encoded["input_ids"] if isinstance(encoded, Mapping) else encoded
    return [int(token) for token in ids]


def _headway_engines(artifact: Path, threads: int) -> dict[str, Generate]:
    model = AutoModelForCausalLM.from_pretrained(artifact, device="cpu", num_threads=threads)

    def engine(**options: Any) -> Generate:
        def generate(ids: Ids) -> Ids:
            output = model.generate(np.array([ids]), max_new_tokens=NUM_NEW_TOKENS, do_sample=False, **options)
            new: Ids = np.asarray(output)[0, len(ids) :].tolist()
            return new

        return generate

    return {
        "Headway": engine(),
        "Headway, prompt lookup": engine(prompt_lookup_num_tokens=NUM_CANDIDATES),
    }


def _transformers_engines(checkpoint: Path, threads: int) -> dict[str, Generate]:
    import torch
    import transformers

    torch.set_num_threads(threads)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()

    def engine(**options: Any) -> Generate:
        def generate(ids: Ids) -> Ids:
            inputs = torch.tensor([ids])
            with torch.no_grad():
                output = model.generate(
                    inputs,
                    attention_mask=torch.ones_like(inputs),
                    max_new_tokens=NUM_NEW_TOKENS,
                    do_sample=False,
                    **options,
                )
            new: Ids = output[0, len(ids) :].tolist()
            return new

        return generate

    return {
        "transformers, PyTorch": engine(),
        "transformers, PyTorch, prompt lookup": engine(prompt_lookup_num_tokens=NUM_CANDIDATES),
    }


class _CallCounter:
    """A decoder that counts how often its graph is asked to run."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self.num_calls = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._decoder, name)
        if name not in ("extend", "decode", "score"):
            return method

        def counted(*args: Any) -> Any:
            self.num_calls += 1
            return method(*args)

        return counted


def _count_calls(artifact: Path, threads: int, ids: Ids) -> dict[str, int]:
    """Model calls without and with prompt lookup."""
    model: Any = AutoModelForCausalLM.from_pretrained(artifact, device="cpu", num_threads=threads)
    counts = {}
    for name, candidates in (("Headway", None), ("Headway, prompt lookup", NUM_CANDIDATES)):
        model.decoder = counter = _CallCounter(getattr(model.decoder, "_decoder", model.decoder))
        model.generate(
            np.array([ids]), max_new_tokens=NUM_NEW_TOKENS, do_sample=False, prompt_lookup_num_tokens=candidates
        )
        counts[name] = counter.num_calls
    return counts


def _rounds(engines: Mapping[str, Generate], ids: Ids) -> dict[str, tuple[list[float], Ids]]:
    """Seconds of each round, and the tokens, of every engine."""
    tokens = {name: generate(ids) for name, generate in engines.items()}
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(NUM_ROUNDS):
        for name, generate in engines.items():
            started = time.perf_counter()
            generate(ids)
            seconds[name].append(time.perf_counter() - started)
    return {name: (seconds[name], tokens[name]) for name in engines}


def _rows(
    case: str, num_prompt_tokens: int, rounds: Mapping[str, tuple[list[float], Ids]], calls: Mapping[str, int]
) -> list[dict[str, Any]]:
    reference = rounds["transformers, PyTorch"][1]
    plain = rounds["Headway"][0]
    return [
        {
            "": f"{case}, prompt of {num_prompt_tokens} tokens: {name}",
            "model calls": calls.get(name),
            "new tokens": len(tokens),
            "tokens/s": len(tokens) / median(seconds),
            "time / Headway's without lookup": median(a / b for a, b in zip(seconds, plain, strict=True)),
            "same tokens": "yes" if tokens == reference else "no",
        }
        for name, (seconds, tokens) in rounds.items()
    ]
