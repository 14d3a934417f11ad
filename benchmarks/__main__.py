"""``python -m headway.benchmarks [NAME…]``: measure, record, and print the tables."""

import argparse
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .report import RESULTS, table

# Name → the module whose run() measures and returns a record (its form is described in report.py).
BENCHMARKS: Mapping[str, str] = {
    "decoding": "headway.benchmarks.decoding",
    "decoding_reduced": "headway.benchmarks.decoding_reduced",
    "embeddings": "headway.benchmarks.embeddings",
    "prompt_lookup": "headway.benchmarks.prompt_lookup",
    "step_overhead": "headway.benchmarks.step_overhead",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks named on the command line, all by default; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m headway.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where records go (default: benchmarks/results)")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no benchmark is named {unknown[0]!r}; choose from {', '.join(BENCHMARKS)}")
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.names or BENCHMARKS:
        record = importlib.import_module(BENCHMARKS[name]).run()
        (options.folder / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        print(f"\n{table(record)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
