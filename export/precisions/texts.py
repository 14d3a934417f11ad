"""Text to calibrate with, and other text to measure accuracy on.

Accuracy is measured on real English that every Python carries. What weights are rounded by must be broader than that:
calibrated on documentation alone, SmolLM2-135M in q4 loses twice as much on other subjects. So half of it is what that
model itself wrote after random first words, on whatever it writes about (``calibration_texts.txt``).
"""

from __future__ import annotations

import importlib
import inspect
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Modules whose docstrings are prose of some length.
_DOCUMENTED_MODULES = (
    "argparse asyncio collections contextlib csv datetime decimal difflib email functools heapq http.client inspect io "
    "itertools json logging math os pathlib pickle random re shutil socket sqlite3 ssl statistics string subprocess "
    "tempfile textwrap threading unittest urllib.parse uuid zipfile"
)
_LEAST_CHARACTERS = 200
_TEXTS_FILE, _TEXTS_SEPARATOR = "calibration_texts.txt", "\n%%\n"


def calibration_text() -> str:
    """Docstrings of the standard library, and texts on many subjects between them."""
    written = Path(__file__).with_name(_TEXTS_FILE).read_text(encoding="utf-8").split(_TEXTS_SEPARATOR)
    documented = dict.fromkeys(_docstrings())
    return "\n\n".join(itertools.chain.from_iterable(zip(documented, itertools.cycle(written))))


def evaluation_text() -> str:
    """Chapters of Python's language reference; calibration sees none of it."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def _docstrings() -> Iterator[str]:
    for name in _DOCUMENTED_MODULES.split():
        members = vars(importlib.import_module(name))
        for _, member in sorted(members.items()):
            text = (inspect.getdoc(member) or "") if inspect.isclass(member) or inspect.isfunction(member) else ""
            if len(text) >= _LEAST_CHARACTERS:
                yield text


class TextSource:
    """A text as token ids, paragraph after paragraph.

    Args:
        tokenizer: transformers' tokenizer.
        text: paragraphs apart by empty lines; it begins again where it ends.
    """

    def __init__(self, tokenizer: Any, text: str) -> None:
        self._tokenizer = tokenizer
        self._paragraphs = itertools.cycle([paragraph.strip() for paragraph in text.split("\n\n") if paragraph.strip()])

    def take(self, count: int) -> NDArray[np.int64]:
        """(count,) the next tokens, without special ones."""
        ids: list[int] = []
        while len(ids) < count:
            paragraph = next(self._paragraphs) + "\n\n"
            ids += self._tokenizer(paragraph, add_special_tokens=False)["input_ids"]
        return np.array(ids[:count], dtype=np.int64)

    def fill(self, input_ids: NDArray[np.int64]) -> None:
        """Replace every row of (…, tokens) ids by the beginning of a text, special tokens included."""
        rows = input_ids.reshape(-1, input_ids.shape[-1])
        for row in rows:
            ids = self._tokenizer(self._passage(len(row)), truncation=True, max_length=len(row))["input_ids"]
            row[: len(ids)] = ids

    def _passage(self, num_tokens: int) -> str:
        """Paragraphs of so many words at least, and therefore tokens."""
        parts: list[str] = []
        while sum(len(part.split()) for part in parts) < num_tokens:
            parts.append(next(self._paragraphs))
        return "\n\n".join(parts)
