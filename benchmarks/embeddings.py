"""Sentence embeddings of MiniLM: Headway beside transformers' pipeline and sentence-transformers, in one process.

All three get the same sentences, threads and precision, and take turns. The vectors are compared as well as the times:
a faster answer that differs does not count.
"""

import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from headway.export import export
from headway.runtime import AutoTokenizer, pipeline
from headway.runtime.threads import usable_cpu_count

from .environment import describe_environment
from .real_models import fetch
from .sentences import real_sentences

NUM_SENTENCES = 2000
NUM_ROUNDS = 3
NUM_SHORT_ROUNDS = 5
NUM_SHORT_CALLS = 60
SHORT_TEXT = "A man is eating food."

Embed = Callable[[Sequence[str]], Any]


def run() -> dict[str, Any]:
    """Measure, and return the record that report.py prints."""
    threads = usable_cpu_count()
    sentences = real_sentences(NUM_SENTENCES)
    checkpoint = fetch("minilm")
    with tempfile.TemporaryDirectory() as folder:
        artifact = Path(folder) / "minilm"
        export(checkpoint, artifact)
        engines = _engines(checkpoint, artifact, threads)
        seconds = _take_turns(engines, sentences)
        difference = _largest_difference(engines, sentences)
        overhead = _short_text_overhead(artifact, threads)
    fastest_first = sorted(engines, key=lambda name: median(seconds[name]))
    return {
        "title": f"{NUM_SENTENCES} sentences of mixed length through all-MiniLM-L6-v2, float32",
        "settings": (
            f"{threads} threads each, in one process, in turns, medians of {NUM_ROUNDS} rounds after a warm-up. The "
            f"vectors differ from sentence-transformers' by {difference:.0e} at most. One short text takes Headway "
            f"{overhead:.2f} ms longer, end to end, than the bare session's own time."
        ),
        "machine": describe_environment(),
        "rows": [_row(name, seconds) for name in fastest_first],
        "largest_difference": difference,
        "short_text_overhead_ms": overhead,
        "seconds": seconds,
    }


def _row(name: str, seconds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    taken = median(seconds[name])
    return {
        "": name,
        "median, s": taken,
        "p90, s": float(np.percentile(seconds[name], 90)),
        "sentences a second": NUM_SENTENCES / taken,
        "Headway is faster by": median(a / b for a, b in zip(seconds[name], seconds["Headway"], strict=True)),
    }


def _engines(checkpoint: Path, artifact: Path, threads: int) -> dict[str, Embed]:
    """Each peer with its best documented settings for a list of texts on a CPU."""
    import sentence_transformers
    import torch
    import transformers

    torch.set_num_threads(threads)
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    warnings.simplefilter("ignore")
    features = transformers.pipeline("feature-extraction", model=str(checkpoint), device="cpu")
    sentence_model = sentence_transformers.SentenceTransformer(str(checkpoint), device="cpu")
    headway = pipeline("embed", model=str(artifact), num_threads=threads)
    return {
        "transformers, feature-extraction pipeline, batch 32": lambda texts: features(
            list(texts), batch_size=32, return_tensors=True
        ),
        "sentence-transformers": lambda texts: sentence_model.encode(list(texts), normalize_embeddings=True),
        "Headway": lambda texts: headway(list(texts)),
    }


def _take_turns(engines: Mapping[str, Embed], sentences: Sequence[str]) -> dict[str, list[float]]:
    """Seconds of every round of every engine; a shorter run of each comes first, as a warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for embed in engines.values():
        embed(sentences[:200])
    for _ in range(NUM_ROUNDS):
        for name, embed in engines.items():
            started = time.perf_counter()
            embed(sentences)
            seconds[name].append(time.perf_counter() - started)
    return seconds


def _largest_difference(engines: Mapping[str, Embed], sentences: Sequence[str]) -> float:
    ours, theirs = (np.asarray(engines[name](sentences)) for name in ("Headway", "sentence-transformers"))
    return float(np.abs(ours - theirs).max())


def _short_text_overhead(artifact: Path, threads: int) -> float:
    """Median milliseconds of one short text through the pipeline, less those of its session alone.

    Both use one session: the idle threads of a second one would spin beside whichever is measured.
    """
    embed = pipeline("embed", model=str(artifact), device="cpu", num_threads=threads)
    session = embed.model.session
    tokens = AutoTokenizer.from_pretrained(artifact)(SHORT_TEXT, return_tensors="np")
    feeds = {name: np.asarray(tokens[name]) for name in session.input_names}
    calls = {
        "pipeline": lambda: embed(SHORT_TEXT),
        "session": lambda: session.ort_session.run(["last_hidden_state"], feeds),
    }
    milliseconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(NUM_SHORT_ROUNDS):
        for name, call in calls.items():
            milliseconds[name] += [_milliseconds(call) for _ in range(NUM_SHORT_CALLS)]
    return median(milliseconds["pipeline"]) - median(milliseconds["session"])


def _milliseconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000
