"""Asks another side of a comparison, in the environment of its own."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from headway.benchmarks.peers.environments import PeerUnavailableError, environment_python
from headway.benchmarks.peers.worker import worker_variables

from .request import Answer, Request


def ask(module: str, environment: str | None, request: Request) -> Answer:
    """What the other runtime gives; its module exports the model first where that was not done before.

    Args:
        module: of this package.
        environment: the peer's, None for this one.

    Raises:
        PeerUnavailableError: the peer cannot be installed, or failed.
    """
    python = environment_python(environment) if environment else Path(sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder, "request.json"), Path(folder, "answer.json")
        request.save(asked)
        command = [str(python), "-m", f"{__package__}.{module}", str(asked), str(answered)]
        done = subprocess.run(
            command, env=worker_variables(threads=1), capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode:
            raise PeerUnavailableError(" ".join(done.stderr.split()[-40:]) or "it ended without saying why")
        return Answer(**json.loads(answered.read_text(encoding="utf-8")))
