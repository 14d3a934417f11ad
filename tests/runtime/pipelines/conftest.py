"""Tiny heads, each built and exported once, when a test first asks for it."""

from functools import lru_cache
from pathlib import Path

import pytest
from sample_images import PIL_IMAGES
from tiny_heads import Head, Heads, build_head
from tiny_images import ImageHead, ImageHeads, build_image_head


@pytest.fixture(scope="session")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Heads:
    """Name of an entry of tiny_heads.HEADS → the head."""
    folder = tmp_path_factory.mktemp("heads")

    @lru_cache
    def head(name: str) -> Head:
        return build_head(name, folder / name)

    return head


@pytest.fixture(scope="session")
def image_heads(tmp_path_factory: pytest.TempPathFactory) -> ImageHeads:
    """Name of a tiny checkpoint of tiny_images → that checkpoint, exported."""
    folder = tmp_path_factory.mktemp("image-heads")

    @lru_cache
    def head(name: str) -> ImageHead:
        return build_image_head(name, folder / name)

    return head


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph in a file."""
    path = tmp_path_factory.mktemp("images") / "photo.png"
    PIL_IMAGES["photo"]().save(path)
    return path
