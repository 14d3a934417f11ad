"""Memory of a server's processes under load, which docs/serving.md and the Kubernetes manifest size machines by."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from headway.runtime.threads import usable_cpu_count

from .environment import describe_environment
from .sentences import real_sentences
from .serving_chats import NUM_CHATS
from .serving_chats import _round as chats
from .serving_heads import NUM_CLIENTS, _send_all
from .serving_process import artifact, request, run_clients, server

NUM_TEXTS = 640
_KIB_PER_MB = 1e6 / 1024
# What is served → the model, its precision, and what asks it.
SERVED = {
    "all-MiniLM-L6-v2, fp32": ("minilm", "fp32"),
    "all-MiniLM-L6-v2, int8": ("minilm", "int8"),
    "SmolLM2-135M, fp32": ("smollm2", "fp32"),
    "SmolLM2-135M, q4": ("smollm2", "q4"),
}
# The sets of precisions that the other measurements export, so that nothing is exported for this one.
_EXPORTED = {"minilm": ("fp32", "int8"), "smollm2": ("fp32", "q4")}


def run() -> dict[str, Any]:
    """Measure, and return the record that report.py prints."""
    threads = usable_cpu_count()
    return {
        "title": "Memory of a server's processes under load",
        "settings": (
            f"{threads} threads, one worker. MiniLM: {NUM_TEXTS} sentences from {NUM_CLIENTS} clients; SmolLM2: "
            f"{NUM_CHATS} chats, twice. The most that was resident; of it, what was mapped from files in the end. "
            "Graphs are kept prepared on disk from the second load on, as in the container."
        ),
        "machine": describe_environment(),
        "rows": [_row(label, name, dtype, threads) for label, (name, dtype) in SERVED.items()],
    }


def _row(label: str, name: str, dtype: str, threads: int) -> dict[str, Any]:
    folder = artifact(name, _EXPORTED[name])
    arguments = (f"{name}={folder}", "--threads", str(threads), "--dtype", dtype)
    with tempfile.TemporaryDirectory() as cache:
        environment = {"HEADWAY_SESSION_CACHE": cache}
        # The first load only notes that there was one, the second prepares: a server that runs for long is the third.
        for _ in range(2):
            with server(*arguments, environment=environment):
                pass
        with server(*arguments, environment=environment) as serving:
            _load(name, serving.port)
            own, (worker,) = memory_mb(serving.process_id), map(memory_mb, serving.worker_ids())
    return {
        "": label,
        "server's own process, MB": own["VmHWM"],
        "model's worker, MB": worker["VmHWM"],
        "of it mapped, MB": worker["RssFile"],
    }


def _load(name: str, port: int) -> None:
    if name == "minilm":
        requests = [request("/embed", {"inputs": text}) for text in real_sentences(NUM_TEXTS)]
        asyncio.run(_send_all(port, requests, NUM_CLIENTS))
        return
    for label in ("first", "second"):
        run_clients(chats(port, NUM_CHATS, label))


def memory_mb(process_id: int) -> dict[str, float]:
    """What Linux counts for a process, in 10⁶ bytes: ``VmHWM``, the most that was resident, and now ``RssFile``."""
    lines = Path(f"/proc/{process_id}/status").read_text(encoding="ascii", errors="replace").splitlines()
    words = (line.split() for line in lines if line.startswith(("VmHWM:", "RssFile:")))
    return {name.rstrip(":"): int(kib) / _KIB_PER_MB for name, kib, *_ in words}
