"""Whisper's tokens grouped into words.

Source: transformers 5.23, models/whisper/tokenization_whisper.py (`_combine_tokens_into_words` and what it calls).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..tokenization.tokenizer import Tokenizer

_UNSPACED = frozenset({"chinese", "japanese", "thai", "lao", "myanmar", "cantonese"})
_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_GOES_BEFORE = "\"'“¡¿([{-"
_GOES_AFTER = "\"'.。,，!！?？:：”)]}、"
_REPLACEMENT = "�"


@dataclass
class Word:
    """A word, and which of the tokens make it."""

    text: str
    indices: list[int]


def words_with_times(
    tokenizer: Tokenizer, tokens: Sequence[int], times: Sequence[tuple[float, float]], language: str | None
) -> list[dict[str, Any]]:
    """``{"text", "timestamp"}`` of each word.

    Args:
        tokens: ids of text.
        times: begin and end of each in seconds.
        language: its name, for those that are written without spaces.
    """
    return [
        {"text": word.text, "timestamp": (times[word.indices[0]][0], times[word.indices[-1]][1])}
        for word in words_of(tokenizer, tokens, language)
    ]


def words_of(tokenizer: Tokenizer, tokens: Sequence[int], language: str | None) -> list[Word]:
    """Words of ids, punctuation with the word it belongs to."""
    characters = _characters(tokenizer, tokens)
    words = characters if language in _UNSPACED else _at_spaces(tokenizer, tokens, characters)
    return _with_punctuation(words)


def _characters(tokenizer: Tokenizer, tokens: Sequence[int]) -> list[Word]:
    """Pieces that are whole characters: a token may hold part of one."""
    full = str(tokenizer.decode(list(tokens)))
    pieces: list[Word] = []
    current: list[int] = []
    offset = 0
    for index in range(len(tokens)):
        current.append(index)
        text = str(tokenizer.decode([tokens[place] for place in current]))
        place = offset + text.find(_REPLACEMENT)
        if _REPLACEMENT not in text or place >= len(full) or full[place] == _REPLACEMENT:
            pieces.append(Word(text, current))
            current = []
            offset += len(text)
    return pieces


def _at_spaces(tokenizer: Tokenizer, tokens: Sequence[int], pieces: Sequence[Word]) -> list[Word]:
    words: list[Word] = []
    end = tokenizer.eos_token_id or 0
    for piece in pieces:
        starts = tokens[piece.indices[0]] >= end or piece.text.startswith(" ") or piece.text.strip() in _PUNCTUATION
        if starts or not words:
            words.append(Word(piece.text, list(piece.indices)))
        else:
            words[-1] = Word(words[-1].text + piece.text, words[-1].indices + piece.indices)
    return words


def _with_punctuation(words: list[Word]) -> list[Word]:
    joined: list[Word] = []
    for word in reversed(words):
        if joined and word.text.startswith(" ") and word.text.strip() in _GOES_BEFORE:
            joined[-1] = Word(word.text + joined[-1].text, word.indices + joined[-1].indices)
        else:
            joined.append(word)
    joined.reverse()
    merged: list[Word] = []
    for word in joined:
        if merged and not merged[-1].text.endswith(" ") and word.text in _GOES_AFTER:
            merged[-1] = Word(merged[-1].text + word.text, merged[-1].indices + word.indices)
        else:
            merged.append(word)
    return merged
