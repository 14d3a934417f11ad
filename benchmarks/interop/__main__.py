"""Others' folders run here, Headway's elsewhere, and docs/migrating.md: ``python -m headway.benchmarks.interop``."""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from headway.benchmarks.peers.environments import PeerUnavailableError

from .cases import CASES, EXPORTERS, MODELS, Case
from .compare import Result, compare
from .migrating_run import migrating_results
from .opened_run import opened_results
from .request import Request
from .sides import ask


def main() -> int:
    """Compare everything, or that whose name holds a text; the status is 1 where something disagrees."""
    parser = argparse.ArgumentParser(prog="python -m headway.benchmarks.interop", description=__doc__)
    parser.add_argument(
        "--only", default="", help="folders (headway-… are its own) and snippets (migrating-…) whose name holds this"
    )
    parser.add_argument("--json", type=Path, help="write the results there as well")
    arguments = parser.parse_args()
    results = {}
    for name, result in _all_results(arguments.only):
        results[name] = result
        _print_line(name, result)
    if arguments.json:
        values = {name: asdict(result) for name, result in results.items()}
        arguments.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    failed = [name for name, result in results.items() if not result.passed]
    sys.stdout.write(f"\n{len(results) - len(failed)} of {len(results)} as expected\n")
    return 1 if failed else 0


def _all_results(wanted: str) -> Iterator[tuple[str, Result]]:
    """Name and outcome of each folder and each snippet whose name holds a text, as soon as it is known."""
    for case in CASES:
        if wanted in case.folder.name:
            yield case.folder.name, _result(case)
    yield from opened_results(wanted)
    yield from migrating_results(wanted)


def _result(case: Case) -> Result:
    model = MODELS[case.model]
    request = Request(
        str(model.checkpoint()), str(case.folder), case.variant, model.kind, model.inputs, model.num_tokens
    )
    try:
        exporter = EXPORTERS[case.exporter]
        return compare(case, request, ask(exporter.module, exporter.environment, request))
    except PeerUnavailableError as error:
        return Result(False, f"the exporter cannot be run here: {error}")


def _print_line(name: str, result: Result) -> None:
    parts = [name.ljust(38), "yes" if result.passed else "NO ", result.text, result.loop]
    sys.stdout.write(" | ".join(part for part in parts if part) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
