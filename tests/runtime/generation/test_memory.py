import pytest

from headway.runtime.errors import CacheMemoryError
from headway.runtime.generation import memory
from headway.runtime.generation.memory import available_memory_bytes, require_memory

MEMINFO = "MemTotal:       100 kB\nMemAvailable:    60 kB\n"


@pytest.fixture
def machine(tmp_path):
    """Files as Linux has them: 60 KiB free, and a cgroup with 50 000 bytes of which 20 000 are in use."""
    (tmp_path / "meminfo").write_text(MEMINFO)
    group = tmp_path / "cgroup"
    group.mkdir()
    (group / "memory.max").write_text("50000\n")
    (group / "memory.current").write_text("20000\n")
    (group / "memory.stat").write_text("anon 11000\ninactive_file 4000\n")
    return tmp_path


def test_the_smaller_limit_counts(machine):
    assert available_memory_bytes(machine / "meminfo", machine / "cgroup") == 50000 - 20000 + 4000


def test_a_group_without_limit_leaves_the_machines(machine):
    (machine / "cgroup" / "memory.max").write_text("max\n")
    assert available_memory_bytes(machine / "meminfo", machine / "cgroup") == 60 * 1024


def test_systems_that_do_not_say_are_not_refused(tmp_path, monkeypatch):
    assert available_memory_bytes(tmp_path / "none", tmp_path / "none") is None
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: None)
    require_memory(1 << 60, "The cache")


def test_the_refusal_says_how_many_bytes_were_needed(monkeypatch):
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: 1000)
    require_memory(1000, "The cache")
    with pytest.raises(CacheMemoryError, match="The cache needs 1,001 bytes; 1,000 are free"):
        require_memory(1001, "The cache")
