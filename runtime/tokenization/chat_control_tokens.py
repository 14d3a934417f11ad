"""Keep control tokens that a user types from acting as control tokens.

Control tokens in the messages are wrapped in private-use characters before the template renders. The rendered text is
then cut at these marks: what was marked is encoded as ordinary text, what the template wrote itself as usual.
Source: ``mark_control_tokens`` and ``encode_marked_chat`` of transformers 5.23.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .chat_environment import compile_template

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

_START = "\U000f0000"
_END = "\U000f0001"
Encode = Callable[[str], list[int]]


def control_tokens(added_tokens: Iterable[AddedToken], template: str, listed: Iterable[str] | None) -> tuple[str, ...]:
    """The tokens to keep out: the special ones, and the ``listed`` ones or else those the template itself writes."""
    if listed is not None:
        chosen = set(listed)
        return tuple(token.content for token in added_tokens if token.special or token.content in chosen)
    text = _literal_text(template)
    return tuple(
        token.content
        for token in added_tokens
        if token.special or (token.content in text and not token.content.isspace())
    )


def mark(value: Any, tokens: tuple[str, ...]) -> Any:
    """``value`` with the control tokens in its texts marked; dictionaries keep their keys as they are."""
    if isinstance(value, str):
        # Marks that are there already could be used to forge one.
        clean = value.replace(_START, "").replace(_END, "")
        return _any_of(tokens).sub(f"{_START}\\g<0>{_END}", clean)
    if isinstance(value, Mapping):
        return {key: mark(item, tokens) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mark(item, tokens) for item in value]
    return value


def encode_marked(text: str, added_tokens: Mapping[str, int], encode: Encode, encode_plain: Encode) -> list[int]:
    """Ids of a rendered text whose control tokens are marked.

    Args:
        text: the rendered text.
        added_tokens: token → id.
        encode: encodes text as usual, without special tokens around it.
        encode_plain: encodes text without looking for added tokens.

    Raises:
        InputError: a token that ordinary text gives too, so that it cannot be kept out.
    """
    pieces = re.split(f"{_START}({_any_of(tuple(added_tokens)).pattern}){_END}|[{_START}{_END}]", text)
    newline = encode("\n")
    ids = encode(pieces[0])
    for index, piece in enumerate(pieces[1:], start=1):
        if not piece:
            continue
        is_marked = index % 2 == 1
        new = _encode_inner(piece, encode_plain if is_marked else encode, newline)
        if is_marked and added_tokens[piece] in new:
            raise InputError(f"cannot keep out {piece!r}: ordinary text gives that token too")
        ids = ids + new
    return ids


def encode_without_added_tokens(rust: Tokenizer, text: str) -> list[int]:
    """Ids of ``text`` from the vocabulary alone."""
    normalizer: Any = rust.normalizer
    pre_tokenizer: Any = rust.pre_tokenizer
    text = text if normalizer is None else normalizer.normalize_str(text)
    words = [text] if pre_tokenizer is None else [word for word, _ in pre_tokenizer.pre_tokenize_str(text)]
    return [token.id for word in words for token in rust.model.tokenize(word)]


def _encode_inner(piece: str, encode: Encode, newline: list[int]) -> list[int]:
    """Ids of a piece from inside a text: encoded after a line break, so that no prefix space is put before it."""
    ids = encode(f"\n{piece}")
    return ids[len(newline) :] if ids[: len(newline)] == newline else encode(piece)


@lru_cache(maxsize=16)
def _any_of(tokens: tuple[str, ...]) -> re.Pattern[str]:
    """The longest first; a pattern that never matches where there are none."""
    longest_first = sorted(tokens, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


@lru_cache(maxsize=16)
def _literal_text(template: str) -> str:
    """The text and the string constants of a template, apart from each other."""
    from jinja2 import nodes

    tree = compile_template(template).environment.parse(template)
    literals = {node.data for node in tree.find_all(nodes.TemplateData)}
    literals |= {node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)}
    return "\0".join(literals)
