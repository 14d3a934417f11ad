"""The recorded measurements as one self-contained HTML page: ``python -m headway.benchmarks.page``.

Every number comes from a record in ``benchmarks/results/``: all timed calls, the ratio of every round, and beside them
what each engine's answers are worth. Nothing is loaded from elsewhere: plots are inline SVG, without any script.
"""

import argparse
import html
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .page_plot import Row, plot
from .page_style import STYLE
from .report import ROOT, cell_text, machine_text, record_files
from .statistics import round_ratios

PAGE = ROOT / "docs" / "benchmarks.html"

_INTRODUCTION = (
    "Headway beside other ways to run the same checkpoints, in one run on one machine: the engines of one class "
    "stay loaded, each in a process of its own, one works at a time, and they take turns, so that whatever disturbs "
    "the machine disturbs all. "
    "Left in each plot: every timed call, as a dot, with the median as a bar and p90 and p99 as thin ones; the scale "
    "is logarithmic. Right: each round's ratio to Headway's own time in the same round and class of precision, beyond "
    "1 where Headway is faster. Under each name: how near its answers are to PyTorch's in float32."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check it; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m headway.benchmarks.page", description="Write docs/benchmarks.html."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 where the page is stale")
    parser.add_argument("--folder", type=Path, help="where the records are (default: benchmarks/results)")
    parser.add_argument("--output", type=Path, default=PAGE, help="the page (default: docs/benchmarks.html)")
    options = parser.parse_args(arguments)
    paths = sorted(options.folder.glob("*.json")) if options.folder else record_files()
    text = page([json.loads(path.read_text(encoding="utf-8")) for path in paths])
    if options.check:
        return int(not options.output.exists() or options.output.read_text(encoding="utf-8") != text)
    options.output.write_text(text, encoding="utf-8")
    return 0


def page(records: Sequence[Mapping[str, Any]]) -> str:
    """The whole page for some records."""
    links = "".join(f'<li><a href="#r{number}">{_text(one["title"])}</a></li>' for number, one in enumerate(records))
    sections = "".join(_section(f"r{number}", record) for number, record in enumerate(records))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Headway: benchmarks</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>Headway: benchmarks</h1>\n<p>{_text(_INTRODUCTION)}</p>\n"
        "<p>Repeat it: <code>make bench</code>, or <code>python -m headway.benchmarks NAME</code> for one part.</p>\n"
        f"<nav><ul>{links}</ul></nav>\n{sections}</main>\n</body>\n</html>\n"
    )


def _section(anchor: str, record: Mapping[str, Any]) -> str:
    parts = [f'<section id="{anchor}">\n<h2>{_text(record["title"])}</h2>\n<p>{_text(record["settings"])}</p>\n']
    for case, engines in record.get("cases", {}).items():
        if engines:
            parts.append(f"<h3>{_text(case)}</h3>\n{_case_plot(case, engines, record)}{_case_table(engines, record)}")
    parts.append(_table(record["rows"], is_open=not record.get("cases")))
    parts.append(_absent(record.get("unavailable", {})))
    parts.append(f'<p class="small">{_text(machine_text(record["machine"]))}{_versions(record)}</p>\n</section>\n')
    return "".join(parts)


def _case_plot(case: str, engines: Mapping[str, Mapping[str, Any]], record: Mapping[str, Any]) -> str:
    groups: dict[str, list[Row]] = {}
    for name, figures in engines.items():
        facts = record["engines"][name]
        baseline = engines.get(facts["baseline"] or "")
        row = Row(
            name,
            _accuracy_text(facts["accuracy"]),
            bool(facts["is_ours"]),
            [value for turn in figures["ms"] for value in turn],
            round_ratios(figures["ms"], baseline["ms"]) if baseline else [],
        )
        groups.setdefault(facts["group"], []).append(row)
    ordered = {group: sorted(rows, key=lambda row: row.median) for group, rows in groups.items()}
    return f'<div class="plot">{plot(case, ordered)}</div>\n'


def _accuracy_text(accuracy: Mapping[str, Any]) -> str:
    shown = {
        name: value for name, value in accuracy.items() if value is not None and name not in ("tokens/s", "texts/s")
    }
    return " · ".join(_with_unit(name, value) for name, value in shown.items())


def _with_unit(name: str, value: Any) -> str:
    """Such as ``top-1 98.4 %`` of the column ``top-1, %``."""
    what, _, unit = name.partition(", ")
    return f"{what} {value} {unit}".strip()


def _case_table(engines: Mapping[str, Mapping[str, Any]], record: Mapping[str, Any]) -> str:
    rows = [
        {
            "engine": name,
            "p50, ms": figures["p50"],
            "p90, ms": figures["p90"],
            "p99, ms": figures["p99"],
            "calls": figures["calls"],
            "time / Headway's": figures["ratio"],
            **_facts(record["engines"][name]),
        }
        for name, figures in engines.items()
    ]
    return _table(rows, summary="Figures")


def _facts(engine: Mapping[str, Any]) -> dict[str, Any]:
    sizes = {
        "load, s": engine.get("load_s"),
        "peak memory, MB": engine["peak_memory_bytes"] / 1e6 if "peak_memory_bytes" in engine else None,
        "files, MB": engine["size_bytes"] / 1e6 if engine.get("size_bytes") else None,
        "installed, MB": engine["installed_bytes"] / 1e6 if "installed_bytes" in engine else None,
    }
    return {name: value for name, value in sizes.items() if value is not None}


def _table(rows: Sequence[Mapping[str, Any]], *, summary: str = "Table", is_open: bool = False) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{_text(name)}</th>" for name in columns)
    lines = "".join(f"<tr>{''.join(f'<td>{_cell(row.get(name))}</td>' for name in columns)}</tr>" for row in rows)
    opened = " open" if is_open else ""
    return (
        f"<details{opened}><summary>{summary}</summary>"
        f'<div class="plot"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div></details>\n'
    )


def _absent(unavailable: Mapping[str, str]) -> str:
    if not unavailable:
        return ""
    items = "".join(f"<li>{_text(name)}: {_text(reason)}</li>" for name, reason in unavailable.items())
    return f'<p>Not measured here, with the reason:</p><ul class="small">{items}</ul>\n'


def _versions(record: Mapping[str, Any]) -> str:
    """What the peers' own environments hold."""
    lines = list(dict.fromkeys(_engine_versions(record.get("engines", {}))))
    return f" Peers: {_text('; '.join(lines))}." if lines else ""


def _engine_versions(engines: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for engine in engines.values():
        packages = engine.get("packages", {})
        if packages and not engine["is_ours"]:
            yield ", ".join(f"{name} {version}" for name, version in packages.items() if name != "numpy")


def _cell(value: Any) -> str:
    return _text(cell_text(value))


def _text(text: str) -> str:
    return html.escape(text, quote=False)


if __name__ == "__main__":
    sys.exit(main())
