"""Runs both sides of every snippet of docs/migrating.md, each in the environment it is written for."""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from headway.benchmarks.peers.environments import PeerUnavailableError, cache_folder, environment_python
from headway.benchmarks.peers.worker import worker_variables
from headway.benchmarks.serving_process import server

from .compare import Result
from .migrating import COMPARISONS, TOLERANCE, Comparison, largest_difference
from .migrating_folder import link_checkpoints, run_commands
from .snippets import SERVER_ADDRESS, Document, read_document

# Headway's side has to do without them.
_NOT_NEEDED = ("torch", "transformers", "sentence_transformers", "optimum", "onnx")


def migrating_results(wanted: str) -> Iterator[tuple[str, Result]]:
    """Name and outcome of each comparison whose name, ``migrating-…``, holds a text."""
    names = [name for name in COMPARISONS if wanted in f"migrating-{name}"]
    if not names:
        return
    document = read_document()
    folder = cache_folder("interop") / "migrating"
    folder.mkdir(parents=True, exist_ok=True)
    link_checkpoints(folder)
    with ExitStack() as stack:
        address = ""
        for name in names:
            try:
                run_commands(_commands_for(document, name), folder)
                if COMPARISONS[name].is_client and not address:
                    address = stack.enter_context(_server_address(document, folder))
                result = _compared(document, name, folder, address)
            except PeerUnavailableError as error:
                result = Result(False, f"cannot be run here: {error}")
            yield f"migrating-{name}", result


def _commands_for(document: Document, name: str) -> list[str]:
    """The exports that a snippet reads; a server reads all of Headway's."""
    needed = " ".join([*document.snippets[name], *_reference(document, name)])
    if COMPARISONS[name].is_client:
        needed += " ".join(f'"{word}"' for word in _served(document))
    return [command for command in document.commands if f'"{command.split()[-1]}"' in needed]


def _compared(document: Document, name: str, folder: Path, address: str) -> Result:
    comparison = COMPARISONS[name]
    theirs = _their_values(document, name, folder)
    code = document.snippets[name][-1].replace(SERVER_ADDRESS, address or SERVER_ADDRESS)
    ours = _run(Path(sys.executable), code, comparison, folder, without=_NOT_NEEDED)
    difference = largest_difference(ours, theirs)
    return Result(difference <= TOLERANCE, f"{', '.join(comparison.variables)}: largest difference {difference:.1e}")


def _their_values(document: Document, name: str, folder: Path) -> list[Any]:
    comparison = COMPARISONS[name]
    (code,) = _reference(document, name)
    environment = comparison.environment
    python = environment_python(environment) if environment else Path(sys.executable)
    asked = COMPARISONS[comparison.reference] if comparison.reference else comparison
    values = _run(python, code, asked, folder)[: len(comparison.variables)]
    return [comparison.convert(value) for value in values] if comparison.convert else values


def _reference(document: Document, name: str) -> Sequence[str]:
    """The left side of a snippet, or of the one that stands in for it."""
    return document.snippets[COMPARISONS[name].reference or name][:1]


def _run(python: Path, code: str, comparison: Comparison, folder: Path, without: Sequence[str] = ()) -> list[Any]:
    """What a snippet leaves in its variables, run in a process of its own.

    Raises:
        PeerUnavailableError: it failed.
    """
    variables = {**os.environ, **worker_variables(threads=1), "HEADWAY_SESSION_CACHE": "0"}
    if comparison.is_client:
        # The hub's client calls nobody while the hub is off, not even this machine.
        variables["HF_HUB_OFFLINE"] = "0"
    with tempfile.TemporaryDirectory() as scratch:
        asked, answered = Path(scratch, "request.json"), Path(scratch, "answer.json")
        request = {"code": code, "variables": comparison.variables, "without": without}
        asked.write_text(json.dumps(request), encoding="utf-8")
        command = [str(python), "-m", f"{__package__}.snippet_side", str(asked), str(answered)]
        done = subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode:
            raise PeerUnavailableError(" ".join(done.stderr.split()[-40:]) or "it ended without saying why")
        values: list[Any] = json.loads(answered.read_text(encoding="utf-8"))
    return values


def _served(document: Document) -> list[str]:
    """The folders that the document serves."""
    typed = document.consoles["tei-serve"][-1]
    _, _, arguments = typed.replace("\\\n", " ").partition("headway serve")
    return shlex.split(re.sub(r"--port \d+", "", arguments))


@contextmanager
def _server_address(document: Document, folder: Path) -> Iterator[str]:
    served = [str(folder / name) for name in _served(document)]
    with server("--workers", "0", "--threads", "1", *served) as serving:
        yield f"http://127.0.0.1:{serving.port}"
