"""What the command line chooses for a workload."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Choices:
    """How a workload is run.

    Args:
        peers: words; only peers whose names hold one of them take part beside Headway; none for all.
        rounds: turns of each engine; None for the workload's own number.
        is_quick: little work, to see that everything runs: its figures mean nothing.
    """

    peers: Sequence[str] = ()
    rounds: int | None = None
    is_quick: bool = False

    def num_rounds(self, usual: int) -> int:
        """Turns of each engine, where the workload itself would take ``usual``."""
        return self.rounds or (1 if self.is_quick else usual)
