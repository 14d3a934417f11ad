"""One environment for each peer, made once and kept in the user's cache."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Environment → what it installs. torch is pinned by constraints.txt; the rest is what the peer itself asks for.
REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    "onnxruntime-genai": ("onnxruntime-genai==0.18.0", "onnx", "onnx-ir", "transformers", "torch"),
    "optimum-onnx": ("optimum-onnx[onnxruntime]==0.1.0", "torch"),
}


def environment_python(name: str) -> Path:
    """The interpreter of a peer's environment, which is built on first use.

    Raises:
        subprocess.CalledProcessError: pip could not install the peer.
    """
    requirements = REQUIREMENTS[name]
    torch = _pinned_torch()
    key = hashlib.sha256("|".join((*requirements, torch, sys.version)).encode()).hexdigest()[:12]
    folder = _cache_root() / f"{name}-{key}"
    python = folder / "bin" / "python"
    if not (folder / ".installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        names = [torch if requirement == "torch" else requirement for requirement in requirements]
        # torch alone first: a peer's looser range would otherwise choose another build of it.
        for arguments in ([torch], names, ["--no-deps", "-e", str(ROOT)]):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *arguments], check=True)
        (folder / ".installed").touch()
    return python


def _pinned_torch() -> str:
    found = re.search(r"^torch==\S+", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    return found.group() if found else "torch"


def _cache_root() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "headway" / "environments"
