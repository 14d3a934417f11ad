"""What the generation loop itself costs a step: generate() less the bare session's time, on a tiny model.

The model has one tiny layer and the vocabulary of SmolLM2, so the logits that the loop reads are as large as a real
model's while the session's own time is short enough to be subtracted without noise.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from headway.export import export
from headway.runtime import AutoModelForCausalLM

from .environment import describe_environment

VOCABULARY = 49_152
NUM_STEPS = 200
NUM_ROUNDS = 15
PROMPT_TOKENS = 16

METHODS: Mapping[str, Mapping[str, Any]] = {
    "greedy": {"do_sample": False},
    "sampling": {"do_sample": True, "seed": 0},
    "sampling, top_k=50, top_p=0.9": {"do_sample": True, "top_k": 50, "top_p": 0.9, "seed": 0},
    "greedy, repetition_penalty=1.1": {"do_sample": False, "repetition_penalty": 1.1},
}


def run() -> dict[str, Any]:
    """Measure, and return the record that report.py prints."""
    with tempfile.TemporaryDirectory() as folder:
        artifact = Path(folder) / "tiny"
        export(_tiny_model(), artifact, task="text-generation", progress=False)
        model = AutoModelForCausalLM.from_pretrained(artifact, device="cpu", num_threads=1)
        rounds = _rounds(model)
    return {
        "title": f"The generation loop's own time a step, batch 1, vocabulary {VOCABULARY:,}",
        "settings": (
            f"A step of generate() less a run of its bound session, one thread, in turns, medians of {NUM_ROUNDS} "
            f"rounds of {NUM_STEPS} steps."
        ),
        "machine": describe_environment(),
        "rows": [_row(name, rounds) for name in METHODS],
    }


def _row(name: str, rounds: list[dict[str, float]]) -> dict[str, Any]:
    overheads = [(taken[name] - taken["session"]) * 1000 for taken in rounds]
    return {"": name, "ms a step": median(overheads), "p90, ms": float(np.percentile(overheads, 90))}


def _tiny_model() -> Any:
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
    )
    return transformers.LlamaForCausalLM(config).eval()


def _rounds(model: AutoModelForCausalLM) -> list[dict[str, float]]:
    """Seconds a step of every method, and of the session alone, in turns."""
    prompt = np.random.default_rng(0).integers(10, VOCABULARY - 10, (1, PROMPT_TOKENS))
    run_session = _bound_session(model, prompt)
    taken = []
    for _ in range(NUM_ROUNDS + 1):
        steps = {name: _seconds_per_step(model, prompt, options) for name, options in METHODS.items()}
        started = time.perf_counter()
        for _ in range(NUM_STEPS):
            run_session()
        taken.append({**steps, "session": (time.perf_counter() - started) / NUM_STEPS})
    return taken[1:]  # the first is the warm-up


def _seconds_per_step(model: AutoModelForCausalLM, prompt: Any, options: Mapping[str, Any]) -> float:
    def generate(num_tokens: int) -> float:
        started = time.perf_counter()
        model.generate(prompt, max_new_tokens=num_tokens, eos_token_id=None, pad_token_id=0, **options)
        return time.perf_counter() - started

    prefill = generate(1)
    return (generate(NUM_STEPS + 1) - prefill) / NUM_STEPS


def _bound_session(model: Any, prompt: Any) -> Callable[[], Any]:
    """One run of the decode step's own binding, half way through the steps."""
    decoder = model.decoder
    cache = decoder.new_cache(1, PROMPT_TOKENS + NUM_STEPS)
    decoder.extend(cache, [prompt[0]])
    for token in range(NUM_STEPS // 2):
        decoder.decode(cache, np.array([token]))
    binding = cache.bound_step.binding
    return lambda: decoder.session.ort_session.run_with_iobinding(binding)
