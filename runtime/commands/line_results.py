"""Results of a stream of lines, in order and in batches, where a bad line costs only itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .line_reader import Line

if TYPE_CHECKING:
    from ..pipelines import Pipeline


@dataclass(frozen=True)
class LineResult:
    """What became of a line: a result, or the error that it makes."""

    line: Line
    result: Any = None
    error: InputError | None = None


@dataclass(frozen=True)
class _Waiting:
    """A line that was read and has no result yet: its item, or why it has none."""

    line: Line
    item: Any = None
    error: InputError | None = None


class LineRunner:
    """Runs lines through a pipeline's stream.

    Args:
        pipeline: what makes results of items.
        make_item: what makes an item of a line; an InputError from it is that line's.
    """

    def __init__(self, pipeline: Pipeline[Any, Any], make_item: Callable[[Line], Any]) -> None:
        self._pipeline = pipeline
        self._make_item = make_item

    def run(self, bursts: Iterable[Iterable[Line]]) -> Iterator[LineResult]:
        """Yield each line's result in order, holding no more lines than the pipeline's stream does.

        Args:
            bursts: the lines; those of a burst run together, and their results do not wait for the next burst. An error
                that reading them raises must not be an InputError.
        """
        for burst in bursts:
            yield from self._run_burst(iter(burst))

    def _run_burst(self, source: Iterator[Line]) -> Iterator[LineResult]:
        waiting: deque[_Waiting] = deque()
        while True:
            try:
                for result in self._pipeline.stream(self._items(source, waiting), show_progress=False):
                    yield from _bad_lines_at_front(waiting)
                    yield LineResult(waiting.popleft().line, result)
            except InputError:
                if not waiting:
                    raise
                # One of the items that wait is to blame, and the stream has ended with it.
                yield from self._sort_out(waiting)
                continue
            yield from _bad_lines_at_front(waiting)
            return

    def _items(self, source: Iterator[Line], waiting: deque[_Waiting]) -> Iterator[Any]:
        for line in source:
            try:
                item = self._make_item(line)
            except InputError as error:
                waiting.append(_Waiting(line, error=error))
                continue
            waiting.append(_Waiting(line, item))
            yield item

    def _sort_out(self, waiting: deque[_Waiting]) -> Iterator[LineResult]:
        while waiting:
            yield from _bad_lines_at_front(waiting)
            together = []
            while waiting and waiting[0].error is None:
                together.append(waiting.popleft())
            yield from self._halved(together)

    def _halved(self, entries: Sequence[_Waiting]) -> Iterator[LineResult]:
        """Results of some lines, halved until all of a part is well or one line alone is to blame."""
        try:
            results = list(self._pipeline.stream([entry.item for entry in entries], show_progress=False))
        except InputError as error:
            if len(entries) == 1:
                yield LineResult(entries[0].line, error=error)
                return
            middle = len(entries) // 2
            yield from self._halved(entries[:middle])
            yield from self._halved(entries[middle:])
            return
        for entry, result in zip(entries, results, strict=True):
            yield LineResult(entry.line, result)


def _bad_lines_at_front(waiting: deque[_Waiting]) -> Iterator[LineResult]:
    while waiting and waiting[0].error is not None:
        entry = waiting.popleft()
        yield LineResult(entry.line, error=entry.error)
