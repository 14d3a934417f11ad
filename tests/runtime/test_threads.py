"""How many CPUs the process may use, from cgroup files of both versions."""

import os
from pathlib import Path

import pytest

from headway.runtime import threads
from headway.runtime.threads import cgroup_cpu_quota, usable_cpu_count


def write(root: Path, **files: str) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (root / name.replace("__", ".")).write_text(content + "\n")


def member_of(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "membership"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("content", "quota"), [("max 100000", None), ("150000 100000", 1.5), ("50000 100000", 0.5), ("400000 100000", 4.0)]
)
def test_version_2_in_a_container(tmp_path: Path, content: str, quota: float | None) -> None:
    write(tmp_path / "fs", cpu__max=content)
    assert cgroup_cpu_quota(tmp_path / "fs", member_of(tmp_path, "0::/")) == quota


def test_version_2_on_a_host(tmp_path: Path) -> None:
    write(tmp_path / "fs" / "user.slice" / "job", cpu__max="max 100000")
    write(tmp_path / "fs" / "user.slice", cpu__max="300000 100000")
    assert cgroup_cpu_quota(tmp_path / "fs", member_of(tmp_path, "0::/user.slice/job")) == 3.0


def test_version_2_smallest_of_all_counts(tmp_path: Path) -> None:
    write(tmp_path / "fs" / "outer" / "inner", cpu__max="700000 100000")
    write(tmp_path / "fs" / "outer", cpu__max="200000 100000")
    assert cgroup_cpu_quota(tmp_path / "fs", member_of(tmp_path, "0::/outer/inner")) == 2.0


def test_version_2_above_a_namespace(tmp_path: Path) -> None:
    write(tmp_path / "fs", cpu__max="200000 100000")
    write(tmp_path / "other", cpu__max="100000 100000")
    assert cgroup_cpu_quota(tmp_path / "fs", member_of(tmp_path, "0::/../other")) == 2.0


@pytest.mark.parametrize(("quota_us", "quota"), [("-1", None), ("250000", 2.5), ("0", None)])
def test_version_1(tmp_path: Path, quota_us: str, quota: float | None) -> None:
    write(tmp_path / "fs" / "cpu", cpu__cfs_quota_us=quota_us, cpu__cfs_period_us="100000")
    assert cgroup_cpu_quota(tmp_path / "fs", member_of(tmp_path, "4:cpu:/")) == quota


def test_version_1_of_a_container_seen_from_the_host(tmp_path: Path) -> None:
    group = tmp_path / "fs" / "cpu,cpuacct" / "docker" / "abc"
    write(group, cpu__cfs_quota_us="120000", cpu__cfs_period_us="100000")
    assert cgroup_cpu_quota(tmp_path / "fs", member_of(tmp_path, "4:cpu,cpuacct:/docker/abc", "3:memory:/x")) == 1.2


@pytest.mark.parametrize("content", ["", "abc def", "100000", "100000 0", "-5 100000"])
def test_nonsense_is_no_limit(tmp_path: Path, content: str) -> None:
    write(tmp_path / "fs", cpu__max=content)
    assert cgroup_cpu_quota(tmp_path / "fs", member_of(tmp_path, "0::/")) is None


def test_no_cgroups(tmp_path: Path) -> None:
    assert cgroup_cpu_quota(tmp_path / "missing", tmp_path / "missing too") is None


@pytest.mark.parametrize(
    ("affinity", "quota", "count"), [(8, None, 8), (8, 2.5, 3), (2, 6.0, 2), (4, 0.25, 1), (1, 1.0, 1)]
)
def test_usable_cpus(monkeypatch: pytest.MonkeyPatch, affinity: int, quota: float | None, count: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(affinity)), raising=False)
    monkeypatch.setattr(threads, "cgroup_cpu_quota", lambda: quota)
    assert usable_cpu_count() == count
