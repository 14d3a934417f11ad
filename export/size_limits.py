"""Sizes that a traced program holds for: code that branches on a length is traced along one branch only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .trace_paths import TraceJob

# torch's own stand-in for "no limit" is somewhat below the largest integer.
_UNLIMITED = 1 << 40


@contextlib.contextmanager
def recorded_programs() -> Iterator[list[torch.export.ExportedProgram]]:
    """Yield a list that every program traced inside the block is added to."""
    programs: list[torch.export.ExportedProgram] = []
    original = torch.export.export

    def export(*args: Any, **kwargs: Any) -> torch.export.ExportedProgram:
        programs.append(original(*args, **kwargs))
        return programs[-1]

    torch.export.export = export
    try:
        yield programs
    finally:
        torch.export.export = original


@dataclass(frozen=True)
class SizeLimit:
    """A size that traced code does not go beyond."""

    input_name: str
    axis: str
    largest: int

    @property
    def is_length(self) -> bool:
        """Whether it limits how long a text may be, which an artifact can say and the runtime can check."""
        return "sequence" in self.axis

    def __str__(self) -> str:
        return f"the traced code holds for at most {self.largest} on {self.axis} of {self.input_name}"


def size_limit(programs: Sequence[torch.export.ExportedProgram], job: TraceJob) -> SizeLimit | None:
    """The size that the last program does not hold beyond and the graph must; None where there is none.

    Short lengths are left to verification: models cannot run them in PyTorch either, more often than not.
    """
    if not programs:
        return None
    for name, axis, largest in _largest_sizes(programs[-1], job):
        needed = job.max_length if "sequence" in axis else None
        if largest < (needed or _UNLIMITED):
            return SizeLimit(name, axis, largest)
    return None


def _largest_sizes(program: torch.export.ExportedProgram, job: TraceJob) -> Iterator[tuple[str, str, int]]:
    ranges = program.range_constraints
    placeholders = [node for node in program.graph.nodes if node.op == "placeholder"]
    user_inputs = [node for node in placeholders if node.name in program.graph_signature.user_inputs]
    for node, (name, axes) in zip(user_inputs, ((name, job.axes[name]) for name in job.example), strict=False):
        for size, axis in zip(node.meta["val"].shape, axes, strict=True):
            if not axis or not isinstance(size, torch.SymInt):
                continue
            bounds = ranges.get(size.node.expr)
            largest: Any = getattr(bounds, "upper", None)
            # Infinity is no sympy Integer.
            if getattr(largest, "is_Integer", False) and int(largest) < _UNLIMITED:
                yield name, axis, int(largest)
