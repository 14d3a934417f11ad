"""``python -m headway.benchmarks [NAME…]``: measure beside every peer that installs, record, and print the tables."""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headway.runtime.errors import HeadwayError

from .peers.environments import ENVIRONMENTS, INSTALL_VARIABLE, PeerUnavailableError, cache_folder, environment_python
from .report import RESULTS, table
from .workloads.choices import Choices

# Name → the module whose run(choices) measures every peer in its own environment and returns a record.
WORKLOADS: Mapping[str, str] = {
    "classifier": "headway.benchmarks.workloads.classifier",
    "embeddings": "headway.benchmarks.workloads.embeddings",
    "decoding": "headway.benchmarks.workloads.decoding",
    "startup": "headway.benchmarks.workloads.startup",
    "exporting": "headway.benchmarks.workloads.exporting",
}

# Name → the module whose run() measures Headway's own parts and returns a record (its form: report.py).
BENCHMARKS: Mapping[str, str] = {
    "prompt_lookup": "headway.benchmarks.prompt_lookup",
    "serving_chats": "headway.benchmarks.serving_chats",
    "serving_heads": "headway.benchmarks.serving_heads",
    "serving_memory": "headway.benchmarks.serving_memory",
    "serving_overhead": "headway.benchmarks.serving_overhead",
    "step_overhead": "headway.benchmarks.step_overhead",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks named on the command line, all by default; return the exit status."""
    names = [*WORKLOADS, *BENCHMARKS]
    parser = _parser(names)
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(names))
    if unknown:
        parser.error(f"no benchmark is named {unknown[0]!r}; choose from {', '.join(names)}")
    if options.environments:
        return build_environments()
    if options.installed:
        os.environ[INSTALL_VARIABLE] = "0"
    choices = Choices(tuple(options.peers), options.rounds, options.quick)
    folder = options.folder or (cache_folder("bench") / "quick" if options.quick else RESULTS)
    folder.mkdir(parents=True, exist_ok=True)
    for name in options.names or names:
        try:
            record = _run(name, choices)
        except HeadwayError as error:
            parser.error(f"{name}: {error}")
        (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(f"\n{table(record)}", flush=True)
    return 0


def build_environments() -> int:
    """Build every peer's environment that is not there, say which cannot be had and why; return the exit status."""
    for name in ENVIRONMENTS:
        try:
            print(f"{name}\t{environment_python(name)}", flush=True)
        except PeerUnavailableError as error:
            print(f"{name}\tunavailable: {error}", flush=True)
    return 0


def _run(name: str, choices: Choices) -> dict[str, Any]:
    if name in WORKLOADS:
        record: dict[str, Any] = importlib.import_module(WORKLOADS[name]).run(choices)
    else:
        record = importlib.import_module(BENCHMARKS[name]).run()
    return record


def _parser(names: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m headway.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(names)} (default: all)")
    parser.add_argument(
        "--peers", nargs="+", default=[], metavar="WORD", help="beside Headway only peers whose names hold a WORD"
    )
    parser.add_argument("--rounds", type=_count, metavar="N", help="turns of each engine, in place of a workload's own")
    parser.add_argument("--quick", action="store_true", help="a trial of everything; its figures mean nothing")
    parser.add_argument("--folder", type=Path, help="where records go (default: benchmarks/results)")
    parser.add_argument("--installed", action="store_true", help="only peers whose environments are there already")
    parser.add_argument("--environments", action="store_true", help="only build the peers' environments")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count} rounds; at least 1 is needed")
    return count


if __name__ == "__main__":
    sys.exit(main())
