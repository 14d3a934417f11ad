"""``make demo``: fetch real models, export them, run them without PyTorch, and set them beside PyTorch."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from headway.runtime.errors import ExportError, HeadwayError
from headway.runtime.threads import usable_cpu_count

from .demo_heads import TrainedHead, train_entities, train_sentiment
from .demo_report import print_environments, print_examples, print_table
from .demo_sentences import NEGATIVE, POSITIVE
from .demo_worker import Worker
from .environment import describe_environment, folder_bytes, installed_bytes
from .real_models import fetch

NUM_ROUNDS = 15
NUM_WARM_UP = 3
MANY = [*POSITIVE, *NEGATIVE]


@dataclass(frozen=True)
class Example:
    """One head of the demo: where its checkpoint comes from and the texts whose results are shown."""

    name: str
    task: str
    checkpoint: Callable[[Path], Path]
    texts: Sequence[str]
    many: Sequence[str]
    """Texts of the second timing; none where one text is work enough."""


def _trained(train: Callable[[Path, Path], TrainedHead]) -> Callable[[Path], Path]:
    def checkpoint(folder: Path) -> Path:
        head = train(fetch("minilm"), folder)
        print(
            f"  trained a small head on {head.num_sentences} handwritten sentences, on the frozen MiniLM trunk; "
            f"held out: {head.num_right} of {head.num_held_out} {head.counted} right"
        )
        return head.checkpoint

    return checkpoint


EXAMPLES = [
    Example(
        "embeddings",
        "embed",
        lambda _: fetch("minilm"),
        ["A man is eating food.", "Someone is having a meal.", "The stock market fell sharply today."],
        MANY,
    ),
    Example(
        "sentiment",
        "text-classification",
        _trained(train_sentiment),
        ["I've been waiting for a HuggingFace course my whole life.", "I hate this so much!"],
        MANY,
    ),
    Example(
        "entities",
        "token-classification",
        _trained(train_entities),
        ["Robert Taylor moved from Chicago to Toronto to work for Sony."],
        MANY,
    ),
    Example(
        "chat",
        "text-generation",
        lambda _: fetch("smollm2"),
        ["What is the capital of France?", "Name three colours of the rainbow."],
        [],
    ),
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m headway.benchmarks.demo", description=__doc__)
    parser.add_argument("--runtime-python", required=True, help="the interpreter of an environment without PyTorch")
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where to write (default: demo/)")
    options = parser.parse_args(arguments)
    try:
        run_demo(options.runtime_python, options.folder)
    except HeadwayError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run_demo(runtime_python: str, folder: Path) -> None:
    """Export every example into `folder`, run each beside PyTorch, print all of it and keep it in results.json."""
    _keep_quiet()
    environments = _measure_environments(runtime_python)
    rows = []
    for example in EXAMPLES:
        print(f"\n{example.name} ({example.task})", flush=True)
        checkpoint = example.checkpoint(folder / "checkpoints" / example.name)
        artifact = folder / "artifacts" / example.name
        export_seconds = export_artifact(checkpoint, artifact)
        comparison = _compare(example, runtime_python, artifact, checkpoint)
        print_examples(example.task, example.texts, comparison.pop("results"))
        rows.append(
            {
                "name": example.name,
                "task": example.task,
                "checkpoint_bytes": folder_bytes(checkpoint),
                "artifact_bytes": folder_bytes(artifact),
                "export_seconds": export_seconds,
                **comparison,
            }
        )
    print_environments(environments)
    print_table(rows)
    record = {"machine": describe_environment(), "environments": environments, "rows": rows}
    (folder / "results.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _keep_quiet() -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _measure_environments(runtime_python: str) -> dict[str, Any]:
    """Bytes on disk of both sides; raises ExportError where the runtime's environment holds PyTorch after all."""
    question = "import importlib.util as u; print(*[name for name in ('torch', 'transformers') if u.find_spec(name)])"
    found = subprocess.run([runtime_python, "-c", question], capture_output=True, text=True, check=True).stdout.split()
    if found:
        raise ExportError(f"{runtime_python} has {' and '.join(found)}; the demo needs an environment without them.")
    return {
        "pytorch_bytes": installed_bytes("torch", "transformers"),
        "headway_bytes": folder_bytes(Path(runtime_python).parent.parent),
    }


def export_artifact(checkpoint: Path, artifact: Path) -> float:
    """Run ``headway export`` as a user would; return the seconds it took."""
    command = [str(Path(sys.executable).with_name("headway")), "export", str(checkpoint), str(artifact), "--overwrite"]
    print(f"  headway export {checkpoint} {artifact}", flush=True)
    started = time.perf_counter()
    status = subprocess.run(command, check=False).returncode
    if status != 0:
        raise ExportError(f"headway export {checkpoint} failed with status {status}; its message is above.")
    return time.perf_counter() - started


def _compare(example: Example, runtime_python: str, artifact: Path, checkpoint: Path) -> dict[str, Any]:
    """Ask both sides in turn with the same texts and thread count."""
    threads = str(usable_cpu_count())
    package = __package__ or "headway.benchmarks"
    started = time.perf_counter()
    with Worker(runtime_python, f"{package}.demo_headway", [example.task, str(artifact), threads]) as headway:
        results = headway.ask(example.texts)
        headway_start_seconds = time.perf_counter() - started
        started = time.perf_counter()
        with Worker(sys.executable, f"{package}.demo_pytorch", [example.task, str(checkpoint), threads]) as pytorch:
            expected = pytorch.ask(example.texts)["result"]
            pytorch_start_seconds = time.perf_counter() - started
            timings = [_alternate(headway, pytorch, texts) for texts in (example.texts[:1], example.many) if texts]
    if results["has_torch"]:
        raise ExportError("The runtime imported torch or transformers, which it must never do.")
    return {
        "results": results["result"],
        "largest_difference": _largest_difference(results["result"], expected),
        "num_threads": int(threads),
        "num_rounds": NUM_ROUNDS,
        "headway_start_seconds": headway_start_seconds,
        "pytorch_start_seconds": pytorch_start_seconds,
        "timings": timings,
    }


def _alternate(headway: Worker, pytorch: Worker, texts: Sequence[str]) -> dict[str, float]:
    """Median milliseconds of both sides, taking turns, warm-up left out."""
    taken: dict[str, list[float]] = {"headway": [], "pytorch": []}
    for _ in range(NUM_WARM_UP + NUM_ROUNDS):
        taken["pytorch"].append(pytorch.ask(texts)["milliseconds"])
        taken["headway"].append(headway.ask(texts)["milliseconds"])
    medians = {f"{side}_ms": median(values[NUM_WARM_UP:]) for side, values in taken.items()}
    return {"num_texts": len(texts), **medians}


def _largest_difference(got: Any, expected: Any) -> float:
    """The largest difference between two results' numbers; infinite where anything else in them differs."""
    if isinstance(got, float) and isinstance(expected, float):
        return abs(got - expected)
    if isinstance(got, list) and isinstance(expected, list) and len(got) == len(expected):
        return max((_largest_difference(a, b) for a, b in zip(got, expected, strict=True)), default=0.0)
    if isinstance(got, dict) and isinstance(expected, dict) and got.keys() == expected.keys():
        return max(_largest_difference(got[key], expected[key]) for key in got)
    return 0.0 if got == expected else float("inf")


if __name__ == "__main__":
    sys.exit(main())
