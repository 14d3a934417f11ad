"""docs/coverage.md from the outcomes of a coverage run: counts on top, then every pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Outcomes = Mapping[str, Mapping[str, Any]]

_INTRODUCTION = """\
# Coverage

Every model type × head that transformers {transformers} registers: a tiny random checkpoint is exported, loaded in the
runtime and compared with PyTorch at two shapes (relative error at most 1e-4), each pair in its own process. A pair is
*excluded*, and not counted, where PyTorch itself cannot make or run such a model on this machine.
`python -m headway.benchmarks.coverage` writes this page ({packages}).
"""


def write_report(path: Path, outcomes: Outcomes, packages: Mapping[str, str]) -> None:
    """Write the page."""
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    parts = [_INTRODUCTION.format(transformers=packages["transformers"], packages=versions), _counts(outcomes)]
    parts += [_task_section(task, outcomes) for task in _tasks(outcomes)]
    path.write_text("\n".join(parts), encoding="utf-8")


def _counts(outcomes: Outcomes) -> str:
    lines = ["| head | ok | of | share | excluded |", "|---|--:|--:|--:|--:|"]
    total: Counter[str] = Counter()
    for task in _tasks(outcomes):
        counts = Counter(outcome["status"] for _, outcome in _of_task(task, outcomes))
        total += counts
        lines.append(_count_row(task, counts))
    return "\n".join([*lines, _count_row("**all**", total), ""])


def _count_row(name: str, counts: Counter[str]) -> str:
    counted = counts["ok"] + counts["failed"]
    share = f"{counts['ok'] / counted:.1%}" if counted else "—"
    return f"| {name} | {counts['ok']} | {counted} | {share} | {counts['excluded']} |"


def _task_section(task: str, outcomes: Outcomes) -> str:
    lines = [f"## {task}", "", "| model type | outcome | path | reason |", "|---|---|---|---|"]
    for model_type, outcome in _of_task(task, outcomes):
        reason = str(outcome.get("reason", "")).replace("|", "\\|").replace("\n", " ")[:200]
        lines.append(f"| {model_type} | {outcome['status']} | {outcome.get('path', '')} | {reason} |")
    return "\n".join([*lines, ""])


def _tasks(outcomes: Outcomes) -> list[str]:
    return list(dict.fromkeys(key.split("/", 1)[0] for key in sorted(outcomes)))


def _of_task(task: str, outcomes: Outcomes) -> list[tuple[str, Mapping[str, Any]]]:
    return [(key.split("/", 1)[1], outcomes[key]) for key in sorted(outcomes) if key.split("/", 1)[0] == task]
