"""``headway bench``: an artifact's variants measured in turns, beside PyTorch where that is asked for."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .json_lines import to_json
from .table import table

HELP = "measure an artifact's variants, and PyTorch beside them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="DIR", type=Path, help="artifact folder")
    parser.add_argument("--against", choices=["torch"], help="measure PyTorch too, in turns with the artifact")
    parser.add_argument("--checkpoint", metavar="DIR", help="the checkpoint for PyTorch: a folder or a hub id")
    parser.add_argument(
        "--shape",
        action="extend",
        nargs="+",
        default=[],
        metavar="BxL",
        help="batch x length (default: 1x16 1x128 8x128; of a language model, whose prompts they are, 1x128)",
    )
    parser.add_argument("--dtype", nargs="+", default=[], metavar="NAME", help="variants (default: all there are)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of each engine (default: usable CPUs)")
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="turns of each engine (default: 10)")
    parser.add_argument("--json", action="store_true", help="print all figures, every timed call among them, as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    # By name, as the command line finds headway.export. No engine runs in this process: each has its own.
    own_model = importlib.import_module("headway.benchmarks.own_model")
    question = own_model.Question(
        folder=arguments.model,
        against=arguments.against,
        checkpoint=arguments.checkpoint,
        shapes=arguments.shape,
        dtypes=arguments.dtype,
        threads=arguments.threads,
        rounds=arguments.rounds,
    )
    record = own_model.measure(question)
    text = to_json(record, indent=2) if arguments.json else "\n".join(_lines(record))
    sys.stdout.write(text + "\n")
    return 0


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    yield record["settings"]
    for case, engines in record["cases"].items():
        yield ""
        yield case
        first = next(iter(engines))
        header = ["", "p50, ms", "p90, ms", "p99, ms", f"faster than {first} by", *_accuracy_names(record)]
        rows = [_row(name, figures, record) for name, figures in engines.items()]
        yield from table(rows, header, indent=2)
    for name, reason in record["unavailable"].items():
        yield f"not measured: {name}: {reason}"


def _row(name: str, figures: Mapping[str, Any], record: Mapping[str, Any]) -> list[Any]:
    accuracy = record["engines"][name]["accuracy"]
    times = [_milliseconds(figures[share]) for share in ("p50", "p90", "p99")]
    return [name, *times, f"{1 / figures['ratio']:.2f}", *(str(accuracy.get(key)) for key in _accuracy_names(record))]


def _milliseconds(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _accuracy_names(record: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(key for engine in record["engines"].values() for key in engine["accuracy"]))
