"""How much memory this process may still take, and the refusal of a cache that does not fit."""

from __future__ import annotations

from pathlib import Path

from ..errors import CacheMemoryError

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_memory_bytes(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Free memory of the machine, cut to what the cgroup leaves; None where the system does not say."""
    limits = [limit for limit in (_machine_free_bytes(meminfo), _cgroup_free_bytes(cgroup)) if limit is not None]
    return min(limits) if limits else None


def require_memory(needed_bytes: int, what: str) -> None:
    """Refuse what does not fit before anything is allocated.

    Args:
        needed_bytes: the size of the new buffers.
        what: names them in the error.

    Raises:
        CacheMemoryError: there is less free.
    """
    available = available_memory_bytes()
    if available is not None and needed_bytes > available:
        raise CacheMemoryError(
            f"{what} needs {needed_bytes:,} bytes; {available:,} are free. "
            "Ask for fewer rows, fewer beams or fewer tokens."
        )


def _machine_free_bytes(meminfo: Path) -> int | None:
    try:
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def _cgroup_free_bytes(cgroup: Path) -> int | None:
    """What cgroup v2 leaves: its limit less what is in use and cannot be dropped."""
    try:
        limit = (cgroup / "memory.max").read_text(encoding="ascii").strip()
        if limit == "max":
            return None
        used = int((cgroup / "memory.current").read_text(encoding="ascii"))
        return max(0, int(limit) - used + _reclaimable_bytes(cgroup))
    except (OSError, ValueError):
        return None


def _reclaimable_bytes(cgroup: Path) -> int:
    fields = dict(line.split() for line in (cgroup / "memory.stat").read_text(encoding="ascii").splitlines())
    return int(fields.get("inactive_file", 0))
