"""Tiny heads, each built and exported once, when a test first asks for it."""

from functools import lru_cache

import pytest
from tiny_heads import Head, Heads, build_head


@pytest.fixture(scope="session")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Heads:
    """Name of an entry of tiny_heads.HEADS → the head."""
    folder = tmp_path_factory.mktemp("heads")

    @lru_cache
    def head(name: str) -> Head:
        return build_head(name, folder / name)

    return head
