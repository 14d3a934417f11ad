"""What the parity run asks: texts, chats, code and many scripts, from one token to some four hundred."""

from collections.abc import Mapping
from typing import Any

from .sentences import real_sentences

# Name → a text, or the messages of a chat.
CHATS: Mapping[str, list[dict[str, str]]] = {
    "question": [{"role": "user", "content": "What is the capital of France?"}],
    "poem": [{"role": "user", "content": "Write a haiku about the sea."}],
    "system message": [
        {"role": "system", "content": "You are a pirate. Answer in one sentence."},
        {"role": "user", "content": "How do I get to the nearest harbour?"},
    ],
    "several turns": [
        {"role": "user", "content": "My name is Ada and I like chess."},
        {"role": "assistant", "content": "Nice to meet you, Ada! How long have you been playing?"},
        {"role": "user", "content": "For ten years. What is my name, and what do I like?"},
    ],
    "arithmetic": [{"role": "user", "content": "A train leaves at 9:40 and takes 2 h 35 min. When does it arrive?"}],
    "list": [{"role": "user", "content": "List five fruits in alphabetical order, one per line, with a colour each."}],
    "German": [{"role": "user", "content": "Übersetze ins Englische: Guten Morgen, schöne Grüße aus Köln! 🌞"}],
}

_TEXTS: Mapping[str, str] = {
    "one token": "The",
    "beginning of a story": "Once upon a time, in a village by the river, there lived a clockmaker who",
    "encyclopedia": "The Great Barrier Reef is the world's largest coral reef system, composed of",
    "Python": "def fibonacci(n: int) -> list[int]:\n    ",
    "JavaScript": "// Debounce a function.\nexport function debounce(callback, delayMs) {\n  let timer;\n",
    "SQL": "SELECT customers.name, SUM(orders.total)\nFROM customers\nJOIN orders ON",
    "JSON": '{"name": "headway", "version": "0.1.0", "keywords": ["onnx",',
    "Japanese": "東京は夜の七時。吾輩は猫である。名前はまだ",
    "Russian and Greek": "Привет, мир! Καλημέρα κόσμε! Как дела",
    "Arabic and Hindi": "مرحبا بالعالم نمस्ते दुनिया",
    "emoji and accents": "naïve café, crème brûlée 😀👍🏽🇫🇷 e\u0301 ﬁ",
    "spaces and rules": "Name    | Age\n--------|-----\nAda     |  36\nGrace   |",
}


def parity_prompts(tokenizer: Any, *, long_tokens: int = 400) -> dict[str, list[int]]:
    """Token ids of twenty prompts by name.

    Args:
        tokenizer: with ``apply_chat_template``.
        long_tokens: length of the longest, which is cut from Python's own documentation.
    """
    prompts = {
        name: tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        for name, messages in CHATS.items()
    }
    prompts |= {name: tokenizer(text)["input_ids"] for name, text in _TEXTS.items()}
    return prompts | {"documentation": tokenizer(" ".join(real_sentences(60)))["input_ids"][:long_tokens]}


TITLE_TEXTS: tuple[str, ...] = (
    "Fix the login page so that it does not crash when the password is empty.",
    "Add unit tests for the date parser, including leap years and time zones.",
    "The user asks how to sort a list of dictionaries by two keys in Python.",
    "Refactor the payment module: split it into an API client and a retry policy, and add type hints everywhere.",
    "Why is my Docker container exiting immediately after start?",
    "Write a SQL query which returns the ten customers with the highest revenue in the last quarter.",
    "Summarise the meeting: the team agreed to ship on Friday, Ana writes the changelog, Bo updates the documentation.",
    "deploy",
    "Übersetzung der Fehlermeldungen ins Deutsche und Französische, mit Umlauten und Akzenten.",
    "The build fails on Windows because the path contains a backslash; on Linux and macOS it works.",
    "Implement a cache with least-recently-used eviction, bounded in bytes, safe for several threads.",
    "Explain the difference between a process and a thread to a beginner.",
    "Upgrade the dependencies, run the tests, and open a pull request with the results.",
    "My regular expression does not match emails with a plus sign. Here it is: ^[a-z0-9.]+@[a-z]+\\.com$",
    "Create a React component that shows a table with sorting, filtering and pagination.",
    "The model's accuracy dropped from 93 % to 88 % after we changed the tokenizer. Find out why.",
    "Rename all variables called tmp, and remove dead code from the parser.",
    "Please review the security of the upload endpoint: file size, file type, path traversal, authentication.",
    "Convert this CSV file with 2,000,000 rows to Parquet without loading it into memory at once.",
    "Plan a three-day trip to Kyoto with temples, gardens, good ramen and as little walking as possible, for a family.",
)
"""Inputs of the model that writes titles."""
