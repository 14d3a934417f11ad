"""The answering side of worker.py: ``python -m headway.benchmarks.peers.serve MODULE KIND SETTINGS``.

Loads an engine, says so, and answers one JSON object a line with one. Only the standard library is imported here: each
peer's environment holds little else beside the peer.
"""

import contextlib
import importlib
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from .engine import Engine, Settings

# What an engine's speed may depend on.
_PACKAGES = (
    "torch transformers optimum optimum-onnx optimum-intel onnxruntime onnxruntime-openvino onnxruntime-genai openvino "
    "openvino-genai nncf llama-cpp-python fastembed infinity-emb sentence-transformers tokenizers numpy"
)


def main(module: str, kind: str, settings: str) -> None:
    """Serve the engine that ``KIND(settings)`` of a peer's module makes."""
    answers = sys.stdout
    # Libraries print what they please; only answers belong on stdout.
    with contextlib.redirect_stdout(sys.stderr):
        started = time.perf_counter()
        factory = getattr(importlib.import_module(f".{module}", __package__), kind)
        engine: Engine = factory(Settings.from_json(json.loads(settings)))
        _say(
            answers,
            load_s=time.perf_counter() - started,
            size_bytes=sum(_size_bytes(path) for path in engine.files),
            packages=_versions(),
        )
        for line in sys.stdin:
            _say(answers, **_answer(engine, json.loads(line)))


def _answer(engine: Engine, request: dict[str, Any]) -> dict[str, Any]:
    if "score" in request:
        if engine.score is None:
            return {"result": None}
        return {"result": engine.score(request["score"])}
    return measured(engine, **request)


def measured(
    engine: Engine, request: Mapping[str, Any], calls: int, uncounted: int, is_answer_wanted: bool
) -> dict[str, Any]:
    """Seconds of each of some calls one after the other, and the last one's answer.

    Args:
        request: the fields that the engine's ``prepare`` takes.
        calls: how many are timed.
        uncounted: calls before those: another process had the CPU and its caches until now.
        is_answer_wanted: False leaves the answer out, which may be millions of numbers.
    """
    prepared = engine.prepare(**request)
    result = None
    for _ in range(uncounted):
        result = engine.call(prepared)
    seconds = []
    for _ in range(calls):
        taken, result = _timed(engine.call, prepared)
        seconds.append(taken)
    answer = engine.answer(result) if is_answer_wanted else None
    return {"seconds": seconds, "result": answer, "peak_memory_bytes": peak_memory_bytes()}


def _timed(call: Callable[[Any], Any], prepared: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    result = call(prepared)
    return time.perf_counter() - started, result


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES.split():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _say(answers: TextIO, **values: Any) -> None:
    print(json.dumps(values), file=answers, flush=True)


def _size_bytes(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def peak_memory_bytes() -> int:
    """Most memory this process ever held, in bytes (Linux: VmHWM)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main(*sys.argv[1:])
