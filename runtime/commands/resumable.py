"""An output file of one line for each input line, which a later run can take up after any interruption.

Beside ``out.jsonl`` lies ``out.jsonl.progress``: a first line of JSON with what the results depend on, then eight bytes
for each input line, a digest of its content. A line's digest is written before its result, and each result in one
append of a whole line, so that after a kill at any moment the whole lines of the output say how far the run came, and
the digests whether the input is still the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..errors import CorruptArtifactError, InputError, OptionError

PROGRESS_SUFFIX = ".progress"
_DIGEST_BYTES = 8
_BLOCK_BYTES = 1 << 20
_MAX_HEADER_BYTES = 1 << 20


class ResumableOutput:
    """Appends results to a file, and knows which input lines already have theirs.

    Args:
        path: the output file; it is made if it is not there.
        settings: what the results depend on, as JSON values; a later run must have the same.
        restart: throw away what is there and begin again.

    Raises:
        OptionError: the file was not written by such a run, or with other settings, or another run is writing it.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, restart: bool = False) -> None:
        self.path = path
        self.progress_path = path.with_name(path.name + PROGRESS_SUFFIX)
        self._header = json.dumps(settings, ensure_ascii=True, sort_keys=True).encode() + b"\n"
        _require_place(path)
        if restart or not self.progress_path.exists():
            self._begin(restart)
        self._progress = os.open(self.progress_path, os.O_RDWR | os.O_APPEND)
        self._output = -1
        try:
            self._lock()
            self._require_same_settings()
            self._output = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            self.num_done = self._cut_to_whole_lines()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def require_same(self, number: int, content: bytes | None) -> None:
        """Check that an input line that has its result is the one that result was made from.

        Args:
            number: the line's number, counted from 1.
            content: its bytes; None where the input has ended.

        Raises:
            InputError: it has changed, or is gone.
        """
        offset = len(self._header) + (number - 1) * _DIGEST_BYTES
        if content is None or os.pread(self._progress, _DIGEST_BYTES, offset) != _digest(content):
            what = "is gone" if content is None else "has changed"
            raise InputError(
                f"line {number} of the input {what} since {self.path} got its result. "
                "Pass --restart to begin again, or another --output."
            )

    def append(self, content: bytes, result: str) -> None:
        """Write the result of an input line.

        Args:
            content: the input line's bytes.
            result: one line of JSON, without its end.

        Raises:
            OSError: the disk is full.
        """
        _write_all(self._progress, _digest(content))
        _write_all(self._output, result.encode("utf-8", errors="backslashreplace") + b"\n")

    def close(self) -> None:
        """Bring both files to the disk and let go of them."""
        for descriptor in (self._output, self._progress):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.fsync(descriptor)
                os.close(descriptor)
        self._output = self._progress = -1

    def _begin(self, restart: bool) -> None:
        if self.path.exists() and self.path.stat().st_size and not restart:
            raise OptionError(
                f"{self.path} exists, and {self.progress_path.name}, which says how it was made, does not. "
                "Pass --restart to replace it, or another --output."
            )
        if restart and self.path.exists():
            os.truncate(self.path, 0)
        # Beside, then renamed: the progress file never lacks its first line.
        staged = self.progress_path.with_name(f".{self.progress_path.name}-{os.getpid()}")
        staged.write_bytes(self._header)
        staged.replace(self.progress_path)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._progress, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OptionError(f"Another run is writing {self.path}. Wait for it, or pass another --output.") from error

    def _require_same_settings(self) -> None:
        start = os.pread(self._progress, _MAX_HEADER_BYTES, 0)
        header, found, _ = start.partition(b"\n")
        if header + found == self._header:
            return
        try:
            earlier, current = json.loads(header), json.loads(self._header)
            different = [name for name in {**earlier, **current} if earlier.get(name) != current.get(name)]
        except (ValueError, TypeError, AttributeError) as error:
            raise CorruptArtifactError(
                f"{self.progress_path} is not a progress file. Pass --restart to begin again, or another --output."
            ) from error
        changes = ", ".join(f"{name} was {earlier.get(name)!r} and is {current.get(name)!r}" for name in different)
        raise OptionError(
            f"{self.path} was begun with other settings ({changes}). Pass --restart to begin again, "
            "or another --output."
        )

    def _cut_to_whole_lines(self) -> int:
        """Drop a torn last line and digests without a result; return how many results there are."""
        num_lines, end = _whole_lines(self._output)
        num_digests = (os.fstat(self._progress).st_size - len(self._header)) // _DIGEST_BYTES
        if num_digests < num_lines:
            raise OptionError(
                f"{self.path} holds {num_lines} lines and {self.progress_path.name} knows of {num_digests}: "
                "it was changed by something else. Pass --restart to begin again, or another --output."
            )
        os.ftruncate(self._output, end)
        os.ftruncate(self._progress, len(self._header) + num_lines * _DIGEST_BYTES)
        return num_lines


def _require_place(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise OptionError(f"{path} is no regular file. Pass a file to write, or no --output for standard output.")
    if not path.parent.is_dir():
        raise OptionError(f"{path.parent} is not a folder. Make it, or pass another --output.")


def _whole_lines(descriptor: int) -> tuple[int, int]:
    """How many lines that end there are, and where the last of them ends."""
    count = end = position = 0
    while block := os.pread(descriptor, _BLOCK_BYTES, position):
        count += block.count(b"\n")
        last = block.rfind(b"\n")
        end = position + last + 1 if last >= 0 else end
        position += len(block)
    return count, end


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _write_all(descriptor: int, data: bytes) -> None:
    remaining = memoryview(data)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]
