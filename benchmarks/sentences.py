"""Real English sentences of mixed length that every Python carries: its language reference and its docstrings."""

import importlib
import inspect
import re
from collections.abc import Iterator

DOCUMENTED_MODULES = (
    "argparse asyncio collections concurrent.futures contextlib csv datetime decimal difflib email functools heapq "
    "http.client inspect io itertools json logging math multiprocessing os pathlib pickle random re shutil socket "
    "sqlite3 ssl statistics string subprocess tempfile textwrap threading typing unittest urllib.parse uuid zipfile"
)

# all-MiniLM-L6-v2 takes 256 tokens in sentence-transformers: longer texts would be cut by one engine and not another.
LONGEST_CHARACTERS = 600


def real_sentences(count: int) -> list[str]:
    """The first `count` sentences, each once, in an order that is the same on every run of one Python version."""
    found: dict[str, None] = {}
    for text in _texts():
        for paragraph in re.split(r"\n\s*\n", text):
            found.update(dict.fromkeys(_sentences(paragraph)))
        if len(found) >= count:
            break
    return list(found)[:count]


def _texts() -> Iterator[str]:
    from pydoc_data.topics import topics

    yield from (topics[name] for name in sorted(topics))
    for name in DOCUMENTED_MODULES.split():
        module = importlib.import_module(name)
        for _, member in sorted(vars(module).items()):
            if inspect.isclass(member) or inspect.isfunction(member):
                yield inspect.getdoc(member) or ""
                yield from (
                    inspect.getdoc(method) or "" for _, method in sorted(vars(member).items()) if callable(method)
                )


def _sentences(paragraph: str) -> Iterator[str]:
    line = re.sub(r"\s+", " ", paragraph).strip()
    for sentence in re.split(r"(?<=[.!?:])\s+(?=[A-Z])", line):
        is_sentence = re.match(r"^[A-Z].*[a-z][.!?:]$", sentence) and len(sentence.split()) >= 3
        if is_sentence and len(sentence) <= LONGEST_CHARACTERS:
            yield sentence
