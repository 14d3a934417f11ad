"""Recorded measurements as Markdown tables, in the README between its two marks.

A record is a JSON file in ``benchmarks/results/``: ``title``, ``machine`` (see environment.py), ``settings`` (a
sentence on how it was measured), and ``rows``, each a mapping from column to value.
``python -m headway.benchmarks.report`` writes the tables into the README; ``--check`` only says whether they are up to
date.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
START = "<!-- benchmarks: written by `python -m headway.benchmarks.report`, not by hand -->\n"
END = "<!-- end of benchmarks -->\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables into the README, or check them; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m headway.benchmarks.report", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 where the README is stale")
    options = parser.parse_args(arguments)
    written = README.read_text(encoding="utf-8")
    current = insert_tables(written, [json.loads(path.read_text(encoding="utf-8")) for path in record_files()])
    if options.check:
        return int(written != current)
    README.write_text(current, encoding="utf-8")
    return 0


def record_files() -> list[Path]:
    """The recorded measurements, in the order of their names."""
    return sorted(RESULTS.glob("*.json"))


def insert_tables(readme: str, records: Sequence[Mapping[str, Any]]) -> str:
    """The text `readme` with what is between its marks replaced by the tables of `records`."""
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    tables = "".join(f"\n{table(record)}" for record in records)
    return before + START + tables + ("\n" if tables else "") + END + after


def table(record: Mapping[str, Any]) -> str:
    """One record as a heading, a table, and a line on machine and settings."""
    rows = record["rows"]
    columns = list(rows[0])
    lines = [
        f"**{record['title']}**\n",
        _row(columns),
        _row(["---"] * len(columns)),
        *(_row([cell_text(row.get(column)) for column in columns]) for row in rows),
        "",
        f"{record['settings']} {machine_text(record['machine'])}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cell_text(value: Any) -> str:
    """Three significant digits for a measured number, five for a share just below one, everything else as it is."""
    if not isinstance(value, float):
        return "" if value is None else str(value)
    if 0.99 <= value < 1:
        return f"{value:.5g}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine_text(machine: Mapping[str, Any]) -> str:
    """A sentence on the machine and on the packages that the measuring side holds."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return f"{machine['processor']}, {machine['cpus']} CPUs, Python {machine['python']}, {packages}."


if __name__ == "__main__":
    sys.exit(main())
