"""``headway serve`` as a process, and the memory that it and its workers take."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_CODE = "import sys; from headway.runtime.cli import main; sys.exit(main(sys.argv[1:]))"
_EXIT_TIMEOUT_S = 60


@contextmanager
def serving(arguments: Sequence[str]) -> Iterator[tuple[int, str]]:
    """A server on a free port: its process id and address; told to stop at the end.

    Args:
        arguments: of ``headway serve``, the port aside.
    """
    command = [sys.executable, "-c", _CODE, "serve", "--port", "0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if " on http://" in line:
                break
        else:
            raise RuntimeError(f"the server did not start: {''.join(said)}")
        try:
            yield process.pid, line.split(" on ")[1].strip()
        finally:
            process.terminate()
            process.communicate(timeout=_EXIT_TIMEOUT_S)


def resident_bytes(process_id: int) -> int:
    """Memory of a process and all that it started, from Linux's /proc; pages that they share count for each."""
    total = 0
    for each in _family(process_id):
        try:
            status = Path(f"/proc/{each}/status").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        lines = (line.split() for line in status.splitlines() if line.startswith("VmRSS:"))
        total += sum(int(words[1]) << 10 for words in lines)
    return total


def _family(process_id: int) -> Iterator[int]:
    yield process_id
    for children in Path(f"/proc/{process_id}/task").glob("*/children"):
        try:
            found = children.read_text(encoding="ascii").split()
        except OSError:
            continue
        for child in found:
            yield from _family(int(child))
