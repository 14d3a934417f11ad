"""``headway run --input``: a file of texts to a file of results, with bounded memory, taken up where it stopped."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, OptionError
from ..safe_paths import is_regular_file
from .json_lines import ITEM_READERS, to_json
from .line_progress import LineProgress
from .line_reader import Line, LineReader
from .line_results import LineResult, LineRunner
from .resumable import ResumableOutput

if TYPE_CHECKING:
    from ..pipelines import Pipeline

logger = logging.getLogger("headway")

STANDARD_STREAM = "-"
_FORMATS_BY_SUFFIX: Mapping[str, str] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".txt": "txt"}
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class FileRun:
    """What to run, and where the results go.

    Args:
        pipeline: what makes results of items.
        source: a file, or ``-`` for standard input.
        output: a file, or ``-`` for standard output, which cannot be taken up again.
        settings: what the results depend on; a run that is taken up must have the same.
        build_item: what makes an item of the text or object of a line.
        input_format: ``"txt"`` or ``"jsonl"``; None goes by the file's name.
        skip_errors: a bad line gets a line ``{"error": …}``; otherwise it stops the run.
        restart: throw away earlier results.
    """

    pipeline: Pipeline[Any, Any]
    source: str
    output: str
    settings: Mapping[str, Any]
    build_item: Callable[[Any], Any]
    input_format: str | None = None
    skip_errors: bool = False
    restart: bool = False

    def execute(self) -> int:
        """Run to the end and return the number of bad lines.

        Raises:
            InputError: a line cannot be used, or the input has changed since the results that are there.
            OptionError: the output belongs to something else.
        """
        with open_input(self.source) as reader:
            runner = self._runner(reader.peek())
            if self.output == STANDARD_STREAM:
                return sum(self._print(outcome) for outcome in runner.run(reader.bursts()))
            _require_different(self.source, self.output)
            with ResumableOutput(Path(self.output), self.settings, restart=self.restart) as output:
                if output.num_done:
                    logger.info("%s holds %d results; going on after them", self.output, output.num_done)
                _skip_finished(reader, output)
                return self._write(runner.run(reader.bursts()), output)

    def _runner(self, first: Line | None) -> LineRunner:
        read_item = ITEM_READERS[self.input_format or format_of(self.source, first)]
        return LineRunner(self.pipeline, lambda line: self.build_item(read_item(line)))

    def _write(self, outcomes: Iterable[LineResult], output: ResumableOutput) -> int:
        num_errors = 0
        with LineProgress(count_lines(self.source), output.num_done) as progress:
            for outcome in outcomes:
                output.append(outcome.line.content, self._result_text(outcome))
                num_errors += outcome.error is not None
                progress.advance()
        return num_errors

    def _print(self, outcome: LineResult) -> bool:
        text = self._result_text(outcome).encode("utf-8", errors="backslashreplace")
        sys.stdout.buffer.write(text + b"\n")
        sys.stdout.buffer.flush()
        return outcome.error is not None

    def _result_text(self, outcome: LineResult) -> str:
        if outcome.error is None:
            return to_json(outcome.result)
        message = line_message(outcome.line.number, outcome.error)
        if not self.skip_errors:
            raise InputError(
                f"{message} Correct it and run again to go on from there, or pass --on-error skip."
            ) from outcome.error
        return to_json({"error": message, "line": outcome.line.number})


@contextmanager
def open_input(source: str) -> Iterator[LineReader]:
    """The input's lines.

    Raises:
        InputError: there is no such file.
    """
    if source == STANDARD_STREAM:
        yield LineReader(sys.stdin.fileno())
        return
    path = Path(source)
    if path.is_dir() or not path.exists():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"{source} {what}. Pass a .jsonl or .txt file, or - for standard input.")
    with path.open("rb", buffering=0) as stream:
        yield LineReader(stream.fileno())


def format_of(source: str, first: Line | None) -> str:
    """``"jsonl"`` or ``"txt"``: by the file's ending, or else by whether the first line is a JSON text or object."""
    by_name = _FORMATS_BY_SUFFIX.get(Path(source).suffix.lower())
    if by_name is not None or first is None:
        return by_name or "txt"
    try:
        ITEM_READERS["jsonl"](first)
    except InputError:
        return "txt"
    return "jsonl"


def line_message(number: int, error: InputError) -> str:
    """An error that names its line, as a sentence."""
    message = str(error)
    # Of a line run by itself the pipeline says "Input 0", and the readers say the number themselves.
    if message.startswith("Input 0"):
        message = f"line {number}{message.removeprefix('Input 0')}"
    return message if message.startswith((f"line {number} ", f"line {number}:")) else f"line {number}: {message}"


def count_lines(source: str) -> int | None:
    """Number of lines of a file, or None for a stream."""
    path = Path(source)
    if source == STANDARD_STREAM or not is_regular_file(path):
        return None
    count, last = 0, b"\n"
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")


def _skip_finished(reader: LineReader, output: ResumableOutput) -> None:
    """Pass over the lines that have a result, after checking that they are those the results were made from."""
    for number in range(1, output.num_done + 1):
        line = reader.next()
        output.require_same(number, None if line is None else line.content)


def _require_different(source: str, output: str) -> None:
    if source != STANDARD_STREAM and Path(output).exists() and Path(output).samefile(source):
        raise OptionError(f"--input and --output are the same file, {output}. Pass another --output.")
