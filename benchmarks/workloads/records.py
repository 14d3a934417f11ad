"""A contest's outcome as a record: all measured seconds, their figures, and the rows of the table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..contest import Case, Outcome
from ..environment import describe_environment
from ..peers.catalogue import Peer
from ..statistics import ratio, summary

# Engine → further columns of its row, such as accuracy.
Columns = Callable[[str], Mapping[str, Any]]


def contest_record(
    name: str,
    title: str,
    settings: str,
    peers: Sequence[Peer],
    cases: Sequence[Case],
    outcome: Outcome,
    columns: Columns,
    baseline: str | None = None,
) -> dict[str, Any]:
    """The record of a workload.

    Args:
        name: of the workload.
        title: of its table.
        settings: a sentence on how it was measured.
        peers: who was to take part, in the order of the table.
        cases: what was measured, in the order of the columns.
        outcome: what was found.
        columns: what the table says of an engine beside its times.
        baseline: the engine that all times are divided by; None takes Headway's first of each group.
    """
    members = [peer for peer in peers if peer.name in outcome.facts and peer.name not in outcome.unavailable]
    baselines = {peer.name: baseline or _baseline(peer, members) for peer in members}
    figures = {case.name: _case_figures(case, members, baselines, outcome) for case in cases}
    return {
        "name": name,
        "title": title,
        "settings": settings,
        "machine": describe_environment(),
        "rows": [_row(peer, figures, columns(peer.name), outcome.facts[peer.name]) for peer in members],
        "cases": figures,
        "engines": {peer.name: _engine(peer, baselines[peer.name], outcome, columns) for peer in members},
        "unavailable": outcome.unavailable,
    }


def _baseline(peer: Peer, members: Sequence[Peer]) -> str | None:
    """Headway's first engine of the same group: what the others' times are divided by."""
    return next((other.name for other in members if other.is_ours and other.group == peer.group), None)


def _case_figures(
    case: Case, members: Sequence[Peer], baselines: Mapping[str, str | None], outcome: Outcome
) -> dict[str, Any]:
    seconds = outcome.seconds.get(case.name, {})
    figures = {}
    for peer in members:
        if peer.name not in seconds:
            continue
        rounds = [[value * 1000 for value in turn] for turn in seconds[peer.name]]
        baseline = seconds.get(baselines[peer.name] or "")
        figures[peer.name] = {
            **summary(rounds),
            "ratio": ratio(seconds[peer.name], baseline) if baseline else None,
            "ms": rounds,
        }
    return figures


def _row(
    peer: Peer, figures: Mapping[str, Mapping[str, Any]], columns: Mapping[str, Any], facts: Mapping[str, Any]
) -> dict[str, Any]:
    cells = {f"{case}, ms": _cell(engines.get(peer.name)) for case, engines in figures.items()}
    return {"": peer.name, **cells, **columns, "peak memory, MB": facts.get("peak_memory_bytes", 0) // 1_000_000}


def _cell(figures: Mapping[str, Any] | None) -> str:
    """A median, and how often Headway's time of the same group goes into it."""
    if figures is None:
        return "–"
    median = f"{figures['p50']:.0f}" if figures["p50"] >= 100 else f"{figures['p50']:.3g}"
    return median if figures["ratio"] is None else f"{median} (×{figures['ratio']:.2f})"


def _engine(peer: Peer, baseline: str | None, outcome: Outcome, columns: Columns) -> dict[str, Any]:
    return {
        "group": peer.group,
        "is_ours": peer.is_ours,
        "baseline": baseline,
        "accuracy": dict(columns(peer.name)),
        **outcome.facts[peer.name],
    }
