"""docs/coverage.md from the outcomes of a coverage run: counts on top, then every pair."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Outcomes = Mapping[str, Mapping[str, Any]]
STATUSES = (OK, FAILED, EXCLUDED) = ("ok", "failed", "excluded")

_INTRODUCTION = """\
# Coverage

Every model type × head that transformers {transformers} registers: a tiny random checkpoint is exported, loaded in the
runtime and compared with PyTorch at two shapes, a ragged batch and one row (relative error at most 1e-4); generative
heads also give 16 greedy tokens, which must be PyTorch's. Each pair has its own process. A pair is *excluded*, and not
counted in the share, where PyTorch itself cannot make or run such a model from a tiny configuration on this machine,
for the reason given. feature-extraction holds the backbones whose main input is text; those of images and audio are
seen under their heads. `make coverage` writes this page and [coverage.json](coverage.json) ({packages}).
"""
_LONGEST_REASON = 300
# What every message of a refused export says, around the reasons.
_WRAPPING = re.compile(
    r"^(\w+Error: )?(runtime: )?(\w+Error: )?\S+ could not be exported for [\w -]+\. (Nothing was written\. )?"
)


def write_report(path: Path, run: Mapping[str, Any], groups: Mapping[str, str]) -> None:
    """Write the page.

    Args:
        run: the JSON form of a coverage run.
        groups: head → what it is counted under, in the order of the page.
    """
    packages, outcomes = run["packages"], run["pairs"]
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    heads = [head for head in groups if _of_head(head, outcomes) or run["registered"].get(head)]
    counts = {head: _count(head, outcomes, run["registered"]) for head in heads}
    parts = [_INTRODUCTION.format(transformers=packages["transformers"], packages=versions)]
    parts += [_summary(counts, groups), *(_head_section(head, outcomes) for head in heads)]
    path.write_text("\n".join(parts), encoding="utf-8")


_REGISTERED, _WAITING = "registered", "not run yet"


def _count(head: str, outcomes: Outcomes, registered: Mapping[str, int]) -> Counter[str]:
    counts = Counter(str(outcome["status"]) for _, outcome in _of_head(head, outcomes))
    total = max(registered.get(head, 0), counts.total())
    return counts + Counter({_REGISTERED: total, _WAITING: total - counts.total()})


def _summary(counts: Mapping[str, Counter[str]], groups: Mapping[str, str]) -> str:
    lines = [
        "| head | ok | PyTorch runs it here | registered | not run yet | share |",
        "|---|--:|--:|--:|--:|--:|",
        *(_count_row(head, counted) for head, counted in counts.items()),
    ]
    for group in dict.fromkeys(groups[head] for head in counts):
        of_group = (counted for head, counted in counts.items() if groups[head] == group)
        lines.append(_count_row(f"**{group}**", sum(of_group, Counter())))
    return "\n".join([*lines, _count_row("**all**", sum(counts.values(), Counter())), ""])


def _count_row(name: str, counts: Counter[str]) -> str:
    counted = counts[OK] + counts[FAILED]
    share = f"{counts[OK] / counted:.1%}" if counted else "—"
    return f"| {name} | {counts[OK]} | {counted} | {counts[_REGISTERED]} | {counts[_WAITING] or ''} | {share} |"


def _head_section(head: str, outcomes: Outcomes) -> str:
    lines = [f"## {head}", "", "| model type | outcome | path | reason |", "|---|---|---|---|"]
    for model_type, outcome in _of_head(head, outcomes):
        reason = _in_short(str(outcome.get("reason", ""))) if outcome["status"] != OK else ""
        lines.append(f"| {model_type} | {outcome['status']} | {outcome.get('path', '')} | {reason} |")
    return "\n".join([*lines, ""])


def _in_short(reason: str) -> str:
    """One cell of a table."""
    text = _WRAPPING.sub("", reason).replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"


def _of_head(head: str, outcomes: Outcomes) -> list[tuple[str, Mapping[str, Any]]]:
    return [(key.split("/", 1)[1], outcomes[key]) for key in sorted(outcomes) if key.split("/", 1)[0] == head]
