"""A peer in a process of its own, asked in turn with its rivals: one JSON object a line in, one out.

All sides of a comparison stay loaded while they take turns, so that whatever else the machine does hits all of them.
"""

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .engine import Settings
from .environments import PeerUnavailableError

# Converting and compiling are part of the first answers.
_LONGEST_ANSWER_S = 900
_SERVE = "headway.benchmarks.peers.serve"


def worker_variables(threads: int) -> dict[str, str]:
    """Environment variables of a measured process: equal threads, nothing sent anywhere, nothing fetched."""
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    silent = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    return {**os.environ, **counts, **silent, "TORCHINDUCTOR_FREEZING": "1"}


class Worker:
    """The asking side: starts an engine in its environment and asks it.

    Args:
        python: the environment's interpreter.
        module: of ``headway.benchmarks.peers``.
        kind: the function of the module that makes the engine.
        settings: what it is given.

    Raises:
        PeerUnavailableError: the engine cannot be loaded.
    """

    def __init__(self, python: str | Path, module: str, kind: str, settings: Settings) -> None:
        self._module = module
        self._messages = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(python), "-m", _SERVE, module, kind, json.dumps(settings.to_json())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            text=True,
            env=worker_variables(settings.threads),
        )
        self.facts: Mapping[str, Any] = self._read()

    def measure(
        self, request: Mapping[str, Any], calls: int = 1, uncounted: int = 0, *, is_answer_wanted: bool = False
    ) -> dict[str, Any]:
        """Seconds of each of ``calls`` calls, the last one's result, and the most memory the process ever held.

        Args:
            request: the fields that the engine's ``prepare`` takes.
            calls: how many are timed, one after the other.
            uncounted: calls before those.
            is_answer_wanted: False leaves the result out.
        """
        counts = {"calls": calls, "uncounted": uncounted, "is_answer_wanted": is_answer_wanted}
        return self._ask({"request": request, **counts})

    def score(self, rows: list[list[int]]) -> list[list[float]] | None:
        """The natural logarithm of each next token's probability; None where the engine gives no logits."""
        result: list[list[float]] | None = self._ask({"score": rows})["result"]
        return result

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._process.stdin is None:
            raise PeerUnavailableError(f"{self._module} has no pipe to be asked through.")
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._fail()
        return self._read()

    def _read(self) -> dict[str, Any]:
        watch = threading.Timer(_LONGEST_ANSWER_S, self._process.kill)
        watch.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout else ""
        finally:
            watch.cancel()
        return dict(json.loads(line)) if line else self._fail()

    def _fail(self) -> dict[str, Any]:
        status = self._process.wait()
        self._messages.seek(0)
        lines = [line.strip() for line in self._messages if line.strip()]
        said = lines[-1] if lines else "it said nothing"
        if status == -signal.SIGKILL:
            said = f"killed, after {_LONGEST_ANSWER_S} s without an answer or for want of memory"
        self.close()
        raise PeerUnavailableError(f"it ended with status {status}: {said[:400]}")

    def close(self) -> None:
        """End the process, if it has not ended."""
        if self._messages.closed:
            return
        self._process.terminate()
        self._process.communicate()
        self._messages.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
