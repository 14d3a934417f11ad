"""A bar on stderr that counts lines, for runs over a second on a terminal."""

from __future__ import annotations

from ..progress_bar import ProgressBar


class LineProgress(ProgressBar):
    """Counts lines.

    Args:
        total: number of lines, or None where it is not known.
        num_done: lines that an earlier run finished.
        show: None shows the bar where stderr is a terminal.
    """

    def __init__(self, total: int | None, num_done: int = 0, show: bool | None = None) -> None:
        super().__init__(total, "line", show, num_done)
        self._count = num_done

    def advance(self) -> None:
        """Count one line."""
        self._count += 1
        self.show(self._count)
