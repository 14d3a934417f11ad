"""Single tokens as text and bytes, for probabilities of tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from ...generation.stop_strings import token_text_of

_READERS: WeakKeyDictionary[Any, Callable[[int], bytes | None]] = WeakKeyDictionary()


def token_bytes(tokenizer: Any, token_id: int) -> list[int]:
    """The UTF-8 bytes that a token adds to a text, perhaps part of a character."""
    return list(_bytes(tokenizer, token_id))


def token_string(tokenizer: Any, token_id: int) -> str:
    """A token as text; bytes that are no whole character are replaced."""
    return _bytes(tokenizer, token_id).decode("utf-8", errors="replace")


def _bytes(tokenizer: Any, token_id: int) -> bytes:
    if tokenizer not in _READERS:
        _READERS[tokenizer] = token_text_of(tokenizer)
    return _READERS[tokenizer](token_id) or b""
