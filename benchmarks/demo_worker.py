"""A model in a process of its own, asked in turn with its rival: one JSON object a line in, one out.

Both sides of a comparison stay loaded while they take turns, so that whatever else the machine does hits both.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from headway.runtime.errors import ExportError


def serve(answer: Callable[[Sequence[str]], Any]) -> None:
    """Answer each line of ``{"texts": […]}`` from stdin, until it ends, with the result and milliseconds it took."""
    for line in sys.stdin:
        texts = json.loads(line)["texts"]
        started = time.perf_counter()
        result = answer(texts)
        milliseconds = (time.perf_counter() - started) * 1000
        has_torch = "torch" in sys.modules or "transformers" in sys.modules
        print(json.dumps({"result": result, "milliseconds": milliseconds, "has_torch": has_torch}), flush=True)


class Worker:
    """The asking side: starts ``python -m MODULE ARGUMENTS…`` and asks it texts."""

    def __init__(self, python: str, module: str, arguments: Sequence[str]) -> None:
        self._name = module
        self._process = subprocess.Popen(
            [python, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, texts: Sequence[str]) -> dict[str, Any]:
        """Send `texts` and wait for the answer.

        Raises:
            ExportError: the process ended instead; what it said is on stderr.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise ExportError(f"{self._name} has no pipes to be asked through.")
        self._process.stdin.write(json.dumps({"texts": list(texts)}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise ExportError(f"{self._name} ended with status {self._process.wait()}; its messages are above.")
        return dict(json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()
