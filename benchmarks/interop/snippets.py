"""The snippets of docs/migrating.md, taken from the document itself so that what is shown is what is run."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headway.benchmarks.peers.environments import ROOT
from headway.runtime.errors import CorruptArtifactError

DOCUMENT = ROOT / "docs" / "migrating.md"
SERVER_ADDRESS = "http://localhost:8080"
"""Where the document's clients find a server."""

_PARTS = re.compile(
    r"^<!-- (?P<name>[\w-]+) -->$|^#|^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Document:
    """What a document shows.

    Args:
        commands: shell lines, in order.
        snippets: name → its Python blocks: what one has and what it becomes, or one that stays as it is.
        consoles: name → what is typed at a prompt, on both sides.
    """

    commands: Sequence[str]
    snippets: Mapping[str, Sequence[str]]
    consoles: Mapping[str, Sequence[str]]


def read_document(path: Path = DOCUMENT) -> Document:
    """All fenced blocks of a document; a Python block belongs to the comment ``<!-- name -->`` before it.

    Raises:
        CorruptArtifactError: a block has no name, or is in a language that nobody runs.
    """
    commands: list[str] = []
    blocks: dict[str, dict[str, list[str]]] = {"python": {}, "console": {}}
    name: str | None = None
    for part in _PARTS.finditer(path.read_text(encoding="utf-8")):
        language, text = part["language"], part["text"]
        if language is None:
            name = part["name"]
        elif language == "sh":
            commands += text.splitlines()
        elif name is not None and language in blocks:
            blocks[language].setdefault(name, []).append(text)
        else:
            raise CorruptArtifactError(f"{path.name} has a block of {language} that nothing runs: {text[:80]!r}")
    return Document(commands, blocks["python"], blocks["console"])
