"""How far a pipeline is with its items, which run in windows of rows."""

from __future__ import annotations

from ..progress_bar import ProgressBar


class Progress(ProgressBar):
    """Counts finished items, and shows a bar once the work has lasted a second.

    Args:
        total: number of items, or None where it is not known.
        show: True shows the bar from the start, False never, None after a second where stderr is a terminal.
        unit: what an item is called.
    """

    def __init__(self, total: int | None, show: bool | None, unit: str = "text") -> None:
        super().__init__(total, unit, show)
        self._finished = 0
        self._rows_finished = 0
        self._num_items = self._num_rows = 1

    def begin_window(self, num_items: int) -> None:
        """Say how many items are about to run."""
        self._num_items = self._num_rows = num_items
        self._rows_finished = 0

    def expect(self, num_rows: int) -> None:
        """Say how many rows the window's items have become, where it is not one for each."""
        self._num_rows = max(1, num_rows)

    def advance(self, num_rows: int) -> None:
        """Count rows that have run."""
        self._rows_finished += num_rows
        self.show(self._finished + self._num_items * self._rows_finished // self._num_rows)

    def end_window(self) -> None:
        """Count the window's items as finished."""
        self._finished += self._num_items
        self.show(self._finished)
