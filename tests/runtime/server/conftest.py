"""One server over tiny models, shared by the tests that do not harm it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import RunningServer, running, write_chat_model, write_heads


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_chat_model(tmp_path_factory.mktemp("served") / "chat")


@pytest.fixture(scope="session")
def head_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_heads(tmp_path_factory.mktemp("served-heads"))


@pytest.fixture(scope="session")
def server(chat_folder: Path, head_folders: dict[str, Path]) -> Iterator[RunningServer]:
    with running({"chat": chat_folder, **head_folders}) as server:
        yield server
