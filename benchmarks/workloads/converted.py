"""What a peer converts a checkpoint to, made once by the peer itself in its own environment."""

import subprocess
import sys
import tempfile
from pathlib import Path

from ..peers.environments import PeerUnavailableError, environment_python
from ..peers.worker import worker_variables


def converted(
    environment: str | None, module: str, function: str, checkpoint: Path, folder: Path, precision: str
) -> Path:
    """The folder that ``function`` of a peer's module writes; nothing is done where it is there.

    Raises:
        PeerUnavailableError: the peer cannot be installed, or cannot convert the checkpoint.
    """
    if not folder.exists() or not any(folder.iterdir()):
        convert(environment, module, function, checkpoint, folder, precision)
    return folder


def convert(
    environment: str | None,
    module: str,
    function: str,
    checkpoint: Path,
    folder: Path,
    precision: str,
    threads: int = 2,
) -> None:
    """Have a peer convert a checkpoint now; see :func:`converted`."""
    python = Path(sys.executable) if environment is None else environment_python(environment)
    command = [str(python), "-m", "headway.benchmarks.peers.export", module, function]
    with tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace") as messages:
        done = subprocess.run(
            [*command, str(checkpoint), str(folder), precision],
            env=worker_variables(threads),
            stdout=messages,
            stderr=messages,
            check=False,
        )
        if done.returncode:
            messages.seek(0)
            lines = [line.strip() for line in messages if line.strip()]
            raise PeerUnavailableError(f"its export failed: {lines[-1][:400] if lines else 'it said nothing'}")
