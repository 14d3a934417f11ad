"""A peer in a process of its own, asked in turn with its rivals: one JSON object a line in, one out.

All sides of a comparison stay loaded while they take turns, so that whatever else the machine does hits all of them.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self


def serve(answer: Callable[..., Any]) -> None:
    """Answer each JSON object on stdin, until it ends, with the result of ``answer(**request)`` and its seconds."""
    for line in sys.stdin:
        request = json.loads(line)
        started = time.perf_counter()
        result = answer(**request)
        seconds = time.perf_counter() - started
        print(json.dumps({"result": result, "seconds": seconds, "peak_memory_bytes": peak_memory_bytes()}), flush=True)


def peak_memory_bytes() -> int:
    """Most memory this process ever held, in bytes (Linux: VmHWM)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


class Worker:
    """The asking side: starts ``python -m MODULE ARGUMENTS…`` in an environment and asks it."""

    def __init__(self, python: str | Path, module: str, arguments: Sequence[str], threads: int) -> None:
        self._module = module
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "ORT_DISABLE_TELEMETRY": "1"}
        self._process = subprocess.Popen(
            [str(python), "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer.

        Raises:
            RuntimeError: the process ended instead; what it said is on stderr.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError(f"{self._module} has no pipes to be asked through.")
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._module} ended with status {self._process.wait()}; its messages are above.")
        return dict(json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()
