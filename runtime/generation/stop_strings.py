"""Stop strings: a row is done when its newest token completes one of them.

Source: transformers 5.23, generation/stopping_criteria.py (`StopStringCriteria`). There a match is worked out from
tables over the vocabulary; here the texts of the last tokens are joined and searched, which is the same: the string has
to occur in them, and to end inside the newest token.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .history import Scores, TokenHistory

TokenText = Callable[[int], bytes | None]
"""What a token contributes to the text, in UTF-8 bytes (perhaps part of a character); None for an id out of range."""

_PREFIX = "abcdef"


class StopStrings:
    """Criterion that is met when a row's newest token completes a stop string.

    The prompt counts too: a string may begin in it. Rows look at their own tokens only.
    """

    def __init__(self, stop_strings: Iterable[str], token_text: TokenText) -> None:
        """Prepare the strings.

        Args:
            stop_strings: one or more, none empty.
            token_text: see :data:`TokenText` and :func:`token_text_of`.
        """
        self._stops = [text.encode() for text in stop_strings]
        self._token_text = token_text
        # A match takes at most one token per byte.
        self._num_tokens = max(map(len, self._stops))

    def __call__(self, history: TokenHistory, scores: tuple[Scores, ...] | None = None) -> NDArray[np.bool_]:
        """(rows,) bool: whether each row's newest token completes a stop string."""
        rows = range(history.num_rows)
        return np.array([self.is_completed(history.row(row)[-self._num_tokens :].tolist()) for row in rows])

    def is_completed(self, token_ids: list[int]) -> bool:
        """Whether the last of ``token_ids`` completes a stop string that the ones before began."""
        last = self._token_text(token_ids[-1])
        if not last:
            return False
        before = b""
        for token_id in reversed(token_ids[:-1]):
            piece = self._token_text(token_id)
            if piece is None:
                break
            before = piece + before
        text = before + last
        # The match has to reach into the newest token: its end is past the text before.
        return any(text.find(stop, max(0, len(before) - len(stop) + 1)) >= 0 for stop in self._stops)


def token_text_of(tokenizer: Any) -> TokenText:
    """What each token of a ``tokenizers.Tokenizer`` contributes to the text, worked out when first asked.

    A byte-level token gives its bytes, ``<0xE2>`` of a tokenizer with byte fallback its byte, any other the text that
    its decoder makes of it in the middle of a word.

    Args:
        tokenizer: a ``tokenizers.Tokenizer``, or an object with one as ``backend_tokenizer``.

    Raises:
        OptionError: it is neither.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(backend, "id_to_token"):
        raise OptionError(f"tokenizer is a {type(tokenizer).__name__}; pass the one of AutoTokenizer.from_pretrained.")
    to_bytes = _byte_reader(backend)
    decoder = backend.decoder
    context = _tokens_of(_PREFIX, tokenizer, backend)

    @cache
    def token_text(token_id: int) -> bytes | None:
        token = backend.id_to_token(token_id) if token_id >= 0 else None
        if token is None:
            return None
        as_bytes = to_bytes(token)
        if as_bytes is not None:
            return as_bytes
        text = decoder.decode([*context, token]) if decoder is not None else " ".join([*context, token])
        _, found, rest = text.partition(_PREFIX)
        return (rest if found else token).encode()

    return token_text


def is_byte_token(token: str) -> bool:
    """Whether ``token`` stands for one byte, as ``<0xE2>`` does where a tokenizer falls back to bytes."""
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">") and _is_hexadecimal(token[3:5])


def _tokens_of(text: str, tokenizer: Any, backend: Any) -> list[str]:
    if hasattr(tokenizer, "tokenize"):
        return list(tokenizer.tokenize(text))
    return list(backend.encode(text, add_special_tokens=False).tokens)


def _byte_reader(backend: Any) -> Callable[[str], bytes | None]:
    kinds = _decoder_kinds(backend)
    if "ByteFallback" in kinds:
        return lambda token: bytes([int(token[3:5], 16)]) if is_byte_token(token) else None
    if "ByteLevel" in kinds:
        return _byte_level_bytes
    return lambda token: None


def _decoder_kinds(backend: Any) -> set[str]:
    if backend.decoder is None:
        return set()
    decoder = json.loads(backend.decoder.__getstate__())
    return {part.get("type", "") for part in (decoder, *decoder.get("decoders", ()))}


def _byte_level_bytes(token: str) -> bytes | None:
    table = _byte_level_table()
    return bytes(table[char] for char in token) if all(char in table for char in token) else None


@lru_cache(maxsize=1)
def _byte_level_table() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte: printable bytes stand for themselves, the others follow from U+0100."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}


def _is_hexadecimal(text: str) -> bool:
    return all(char in "0123456789abcdefABCDEF" for char in text)
