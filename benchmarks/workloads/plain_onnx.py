"""A plain fp32 ONNX export of an encoder, by optimum-onnx, for peers that run ONNX files and bring no exporter."""

import subprocess
from pathlib import Path

from ..peers.environments import PeerUnavailableError, environment_python
from ..peers.worker import worker_variables


def plain_onnx(checkpoint: Path, folder: Path) -> Path:
    """The folder with ``model.onnx`` and the tokenizer, made once; it stays empty where optimum-onnx cannot be had."""
    if not (folder / "model.onnx").exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            optimum = environment_python("optimum-onnx").with_name("optimum-cli")
        except PeerUnavailableError:
            return folder
        command = [str(optimum), "export", "onnx", "--task", "feature-extraction", "--model", str(checkpoint)]
        subprocess.run([*command, str(folder)], check=True, env=worker_variables(1), stdout=subprocess.DEVNULL)
    return folder
