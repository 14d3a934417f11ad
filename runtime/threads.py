"""How many threads this process may really use: its affinity and its cgroup's quota, not the host's count."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_CGROUP_MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cpu_count() -> int:
    """CPUs this process may really use: its affinity, cut to the cgroup's quota rounded up, never below one."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota = cgroup_cpu_quota()
    return max(1, affinity if quota is None else min(affinity, math.ceil(quota)))


def cgroup_cpu_quota(root: Path = _CGROUP_ROOT, membership: Path = _CGROUP_MEMBERSHIP) -> float | None:
    """CPUs that this process's cgroup and those above it allow, or None where there is no limit.

    Reads ``cpu.max`` of cgroup v2 and ``cpu.cfs_quota_us`` of v1
    (https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/scheduler/sched-bwc.html).

    Args:
        root: where cgroups are mounted.
        membership: the file that names the cgroups of this process.
    """
    quotas = [quota for group in _groups(root, membership) if (quota := _group_quota(group)) is not None]
    return min(quotas, default=None)


def _groups(root: Path, membership: Path) -> Iterator[Path]:
    """Folders of the cgroups that may hold a CPU limit for this process, its own first."""
    for mount, path in _memberships(root, membership):
        # In a container the path is the host's, and only the mount's root is there.
        parts = [] if ".." in path else [part for part in path.split("/") if part]
        yield from (mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1))


def _memberships(root: Path, membership: Path) -> Iterator[tuple[Path, str]]:
    yield root, ""
    yield root / "cpu", ""
    try:
        lines = membership.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        # hierarchy:controllers:path, where cgroup v2 has no controllers.
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            yield root, path
        elif "cpu" in controllers.split(","):
            yield root / controllers, path
            yield root / "cpu", path


def _group_quota(group: Path) -> float | None:
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()[:2]
        else:
            quota = (group / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (group / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        # "max" and -1 mean no limit.
        return int(quota) / int(period) if quota.isdigit() and int(quota) and int(period) else None
    except (OSError, ValueError):
        return None
