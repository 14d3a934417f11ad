"""Runs folders that Headway writes in other runtimes, and compares with Headway's own answers."""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from headway.benchmarks.peers.environments import ROOT, PeerUnavailableError, environment_python
from headway.benchmarks.peers.worker import worker_variables
from headway.runtime import pipeline

from .cases import MODELS, Case
from .compare import Result, compare
from .node import ask_transformers_js
from .opened import CHECKPOINTS, OPENED, Opened
from .request import Request
from .sides import ask

TOLERANCE = 1e-4
# The task by which Headway makes vectors of texts.
_EMBED = {"feature-extraction": "embed"}


def opened_results(wanted: str) -> Iterator[tuple[str, Result]]:
    """Name and outcome of each folder and runtime whose name holds a text."""
    for case in OPENED:
        if wanted in case.name:
            try:
                _export(case)
                yield case.name, _RUNTIMES[case.runtime](case)
            except PeerUnavailableError as error:
                yield case.name, Result(False, f"cannot be run here: {error}")


def largest_difference(ours: Any, theirs: Any) -> float:
    """Between two answers of lists, labels and numbers; infinite where they differ in anything but numbers."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        if ours.keys() != theirs.keys():
            return float("inf")
        return max((largest_difference(ours[key], theirs[key]) for key in ours), default=0.0)
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        if len(ours) != len(theirs):
            return float("inf")
        return max((largest_difference(*pair) for pair in zip(ours, theirs, strict=True)), default=0.0)
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return abs(ours - theirs)
    return 0.0 if ours == theirs else float("inf")


def _export(case: Opened) -> None:
    """Export with Headway, unless that was done by the exporter as it is now."""
    from headway.export import export

    marker, digest = case.folder / ".complete", _exporter_digest()
    if marker.exists() and marker.read_text(encoding="ascii") == digest:
        return
    shutil.rmtree(case.folder, ignore_errors=True)
    export(CHECKPOINTS[case.model](), case.folder, task=case.task or None, progress=False, **case.options)
    marker.write_text(digest, encoding="ascii")


def _exporter_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted((ROOT / "export").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _in_transformers_js(case: Opened) -> Result:
    own_options, their_options = case.call
    theirs = ask_transformers_js(
        {
            "folder": str(case.folder),
            "task": case.task,
            "dtype": case.dtype[1],
            "texts": list(case.texts),
            "options": dict(their_options),
        }
    )
    task = _EMBED.get(case.task, case.task)
    run: Any = pipeline(task, model=str(case.folder), dtype=case.dtype[0], device="cpu", num_threads=1)
    ours = run(list(case.texts), **own_options)
    difference = largest_difference(ours.tolist() if hasattr(ours, "tolist") else ours, theirs)
    return Result(difference <= TOLERANCE, f"{len(case.texts)} texts: largest difference {difference:.1e}")


def _in_genai(case: Opened) -> Result:
    """Its greedy tokens beside those of Headway, and its tokenizer's text in the example of the model card."""
    model = MODELS[case.model]
    request = Request("", str(case.folder), "fp32", model.kind, model.inputs, model.num_tokens)
    # Where the folder is whole, nothing is exported there.
    result = compare(Case(case.model, "genai"), request, ask("genai_side", case.runtime, request))
    run: Any = pipeline("text-generation", model=str(case.folder), device="cpu", num_threads=1)
    expected = run(_EXAMPLE_PROMPT, max_length=_EXAMPLE_LENGTH, do_sample=False)[0]["generated_text"]
    is_same = _example_output(case).strip() == expected.strip()
    text = f"the model card's example writes {'the same' if is_same else 'another'} text"
    return replace(result, passed=result.passed and is_same, text=f"{result.text}, {text}")


# What the card asks onnxruntime-genai for.
_EXAMPLE_PROMPT, _EXAMPLE_LENGTH = "The capital of France is", 24


def _in_optimum(case: Opened) -> Result:
    _example_output(case)
    return Result(True, "the model card's example runs")


def _example_output(case: Opened) -> str:
    """What the model card's example for a runtime prints, in that runtime's environment.

    Raises:
        PeerUnavailableError: it fails.
    """
    card = (case.folder / "README.md").read_text(encoding="utf-8")
    section = rf"^### {re.escape(case.runtime)}\n+```python\n(.*?)^```$"
    (example,) = re.findall(section, card, re.MULTILINE | re.DOTALL)
    done = subprocess.run(
        [str(environment_python(case.runtime)), "-c", example],
        env=worker_variables(threads=1),
        cwd=case.folder.parent,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise PeerUnavailableError(" ".join(done.stderr.split()[-40:]))
    return done.stdout


_RUNTIMES: Mapping[str, Callable[[Opened], Result]] = {
    "onnxruntime-genai": _in_genai,
    "optimum-onnx": _in_optimum,
    "transformers.js": _in_transformers_js,
}
