"""Graphs prepared for this machine and kept on disk, so that later loads map them instead of preparing them again.

For every session ONNX Runtime optimises the graph and packs the weights as its kernels read them, in new memory. Here
the outcome is kept: a later session maps the packed weights from the file. It starts sooner, takes no memory of its
own for them, and processes that load the same graph share one copy. The results are the same numbers. How fast
decoding is, which reads every weight at each step, is up to the pages that the kernel keeps the file in: where they are
small, a step takes up to a quarter longer than on weights packed in memory. So a language model that reads its weights
in place is kept only where the caller asks for it.

An entry belongs to one state of the graph's files, one version of ONNX Runtime and one kind of CPU. It takes up to
twice the model's size, so by default the second process that loads a graph makes it, not the first: what is loaded once
never pays; and it is left alone where memory or disk would get tight. Entries that were not used for longest go first
when all together exceed the limit.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .generation.memory import available_memory_bytes

logger = logging.getLogger("headway")

SWITCH = "HEADWAY_SESSION_CACHE"
"""Environment variable: ``0`` switches the cache off, ``1`` prepares on the first load, a path says where it lies."""

MIN_MODEL_BYTES = 32 << 20
MAX_CACHE_BYTES = 16 << 30

_MODEL_FILE, _DATA_FILE, _LOADED_FILE = "model.onnx", "model.onnx_data", "loaded_by"
_MIN_EXTERNAL_BYTES = 1024
_NOT_PACKED = b"MatMulNBits"
# Goes up when entries are written in another way, so that older ones are not used.
_FORM = 2
# The original weights and the packed ones; and, while they are written, ONNX Runtime's copies of both.
_ENTRY_PER_MODEL, _MEMORY_PER_MODEL = 2.5, 4
_MOST_OF_DISK = 0.5


@dataclass(frozen=True)
class PreparedGraph:
    """One entry of the cache, there or not.

    Args:
        folder: where it lies.
        model_bytes: size of the graph it is made of.
    """

    folder: Path
    model_bytes: int = 0

    @property
    def path(self) -> Path:
        """The prepared ONNX file."""
        return self.folder / _MODEL_FILE

    @property
    def exists(self) -> bool:
        """Whether it was prepared."""
        return self.path.is_file()

    def is_wanted(self, prepare: bool | None) -> bool:
        """Whether this load should prepare it.

        Args:
            prepare: True and False decide; None asks whether another process loaded the graph before, and notes that
                this one did.
        """
        if prepare is not None:
            return prepare
        loaded_by, process = self.folder / _LOADED_FILE, str(os.getpid())
        try:
            if loaded_by.is_file():
                return loaded_by.read_text(encoding="ascii") != process
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            loaded_by.write_text(process, encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            logger.debug("The session cache at %s cannot be used: %s", self.folder, error)
        return False

    def mark_used(self) -> None:
        """Count it as used now."""
        try:
            os.utime(self.folder)
        except OSError as error:
            logger.debug("%s could not be touched: %s", self.folder, error)

    def stage(self) -> Path:
        """A new folder beside the entry, to prepare it in.

        Raises:
            OSError: the cache cannot be written, or memory, disk or the cache's limit leave too little room.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._require_room()
        return Path(tempfile.mkdtemp(prefix=".preparing-", dir=self.folder.parent))

    def _require_room(self) -> None:
        entry_bytes = _ENTRY_PER_MODEL * self.model_bytes
        memory = available_memory_bytes()
        if entry_bytes > MAX_CACHE_BYTES:
            raise OSError(f"{entry_bytes:,.0f} bytes are more than the cache holds, {MAX_CACHE_BYTES:,}")
        if entry_bytes > shutil.disk_usage(self.folder.parent).free * _MOST_OF_DISK:
            raise OSError(f"{entry_bytes:,.0f} bytes would fill the disk")
        if memory is not None and _MEMORY_PER_MODEL * self.model_bytes > memory:
            raise OSError(
                f"preparing needs {_MEMORY_PER_MODEL * self.model_bytes:,} bytes of memory; {memory:,} are free"
            )

    def publish(self, staging: Path) -> None:
        """Put what was prepared in its place.

        Where another process was faster, what it made stays: it has that file mapped, and a second one would be a
        second copy in memory.

        Raises:
            OSError: the cache cannot be written.
        """
        if not self.exists:
            self.discard()
        try:
            staging.rename(self.folder)
        except OSError:
            if not self.exists:
                raise
        make_room(self.folder.parent, keep=self.folder)

    def discard(self) -> None:
        """Remove it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def prepared_graph(files: Iterable[Path], config: Mapping[str, str], runtime_version: str) -> PreparedGraph | None:
    """The entry of a graph; None where the graph is too small to bother, or there is no cache.

    Args:
        files: the ONNX file and its external data.
        config: session configuration that may change what is prepared.
        runtime_version: of ONNX Runtime.
    """
    if os.environ.get(SWITCH) == "0":
        return None
    try:
        states = [(str(file.resolve()), file.stat()) for file in files]
        root = _cache_root()
    except (OSError, RuntimeError):
        return None
    model_bytes = sum(state.st_size for _, state in states)
    if model_bytes < MIN_MODEL_BYTES:
        return None
    identity = {
        "files": [[name, state.st_size, state.st_mtime_ns, state.st_ino] for name, state in states],
        "config": sorted(config.items()),
        "runtime": runtime_version,
        "cpu": _cpu(),
        "form": _FORM,
    }
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    return PreparedGraph(root / digest[:32], model_bytes)


def should_prepare(asked: bool | None) -> bool | None:
    """What a caller asked for, or else the environment."""
    return True if asked is None and os.environ.get(SWITCH) == "1" else asked


def save_prepared(ort_options: Any, staging: Path, graph: Path) -> None:
    """Let the session that is opened with these options on ``graph`` write it and packed weights into ``staging``.

    The weights of MatMulNBits are kept as they are: what ONNX Runtime (1.31) packs of them is not what it then reads,
    and the answers would be nan.
    """
    ort_options.optimized_model_filepath = str(staging / _MODEL_FILE)
    entries = {
        "session.optimized_model_external_initializers_file_name": _DATA_FILE,
        "session.optimized_model_external_initializers_min_size_in_bytes": str(_MIN_EXTERNAL_BYTES),
        "session.save_external_prepacked_constant_initializers": "0" if _mentions(graph, _NOT_PACKED) else "1",
    }
    for name, value in entries.items():
        ort_options.add_session_config_entry(name, value)


def _mentions(graph: Path, operator: bytes) -> bool:
    with graph.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(operator) >= 0


def make_room(root: Path, keep: Path, max_bytes: int = MAX_CACHE_BYTES) -> None:
    """Remove the entries that were not used for longest until the rest takes at most ``max_bytes``; ``keep`` stays."""
    entries = sorted((folder for folder in root.iterdir() if folder != keep), key=_last_use, reverse=True)
    total = _size_bytes(keep)
    for folder in entries:
        total += _size_bytes(folder)
        if total > max_bytes:
            shutil.rmtree(folder, ignore_errors=True)


def _last_use(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _size_bytes(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except OSError:
        return 0


def _cache_root() -> Path:
    switch = os.environ.get(SWITCH, "")
    if switch not in ("", "0", "1"):
        return Path(switch)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headway" / "sessions"


@cache
def _cpu() -> str:
    """Machine type, model and features: kernels, and how they pack weights, depend on them."""
    lines = []
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        wanted = ("model name", "flags", "Features", "CPU part")
        lines = [line for line in cpuinfo.read_text(errors="replace").splitlines() if line.startswith(wanted)]
    return "|".join([platform.machine(), platform.processor(), *sorted(set(lines))])
