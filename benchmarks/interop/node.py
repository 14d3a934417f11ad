"""transformers.js in a folder of its own in the user's cache, and its answers."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from headway.benchmarks.peers.environments import INSTALL_VARIABLE, PeerUnavailableError, cache_folder

VERSION = "4.2.0"
_SCRIPT = Path(__file__).with_name("transformers_js_side.mjs")


def ask_transformers_js(request: dict[str, Any]) -> Any:
    """What a pipeline of transformers.js gives.

    Args:
        request: ``folder`` of the model, ``task``, ``dtype``, ``texts`` and ``options`` of the call.

    Raises:
        PeerUnavailableError: there is no node, npm could not install transformers.js, or it failed; it says why.
    """
    node = _program("node")
    script = shutil.copy(_SCRIPT, _installed_folder())
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder, "request.json"), Path(folder, "answer.json")
        asked.write_text(json.dumps(request), encoding="utf-8")
        _run([node, str(script), str(asked), str(answered)])
        return json.loads(answered.read_text(encoding="utf-8"))


def _installed_folder() -> Path:
    folder = cache_folder("environments") / f"transformers.js-{VERSION}"
    if (folder / ".installed").exists():
        return folder
    if os.environ.get(INSTALL_VARIABLE) == "0":
        raise PeerUnavailableError("transformers.js is not installed, and is not to be")
    npm = _program("npm")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # The scripts of onnxruntime-node fetch libraries for GPUs; those for CPUs are in the package.
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
    _run([npm, "install", *options, f"@huggingface/transformers@{VERSION}"])
    (folder / ".installed").touch()
    return folder


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise PeerUnavailableError(f"{name} is not installed: install Node.js 20 or later, which brings node and npm")
    return path


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise PeerUnavailableError(" ".join(done.stderr.split()[-40:]) or f"{Path(command[0]).name} failed")
