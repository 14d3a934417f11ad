"""Rust forms of the tokenizers that transformers runs in Python only."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from headway.runtime.errors import CheckpointError

from .slow_sentencepiece import convert_sentencepiece
from .slow_vocabularies import convert_bytes, convert_characters, convert_whole_tokens, convert_word_pieces

logger = logging.getLogger("headway")

# Attribute that tells the kind of a Python tokenizer → what converts it. The first that fits wins.
_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "spm_source": lambda tokenizer: convert_sentencepiece(tokenizer, tokenizer.spm_source),
    "sp_model": lambda tokenizer: convert_sentencepiece(tokenizer, tokenizer.sp_model),
    "wordpiece_tokenizer": convert_word_pieces,
    "_utf_vocab_size": convert_bytes,
    "word_delimiter_token": convert_characters,
    "unique_no_split_tokens": convert_whole_tokens,
}
# Classes that fit a kind by their attributes and do something else besides.
_REFUSED = {
    "BertJapaneseTokenizer": "it needs a Japanese word splitter",
    "RoCBertTokenizer": "it gives shapes and pronunciations too",
    "TapasTokenizer": "it encodes tables",
    "Wav2Vec2PhonemeCTCTokenizer": "it needs a phonemizer",
    "MarianTokenizer with separate vocabularies": "one tokenizer.json holds one vocabulary",
}
# Texts with characters that a vocabulary may lack: differences there are reported and do not stop the export.
_RARE_TEXTS = ("naïve Ünïcödé", "日本語 العربية", "emoji 😀 ok", "tab\tnew\nline", "a\u200bb")
_MAX_PROBE_WORDS = 400


def convert_slow_tokenizer(tokenizer: Any) -> Any:
    """A ``tokenizers.Tokenizer`` that gives what a Python tokenizer gives, checked on text made of its vocabulary.

    Raises:
        CheckpointError: there is no such form, with the reason.
    """
    name = type(tokenizer).__name__
    if getattr(tokenizer, "separate_vocabs", False):
        name += " with separate vocabularies"
    convert = next((convert for mark, convert in _CONVERTERS.items() if hasattr(tokenizer, mark)), None)
    if convert is None or name in _REFUSED:
        reason = _REFUSED.get(name, "no conversion to tokenizer.json is known for it")
        raise CheckpointError(
            f"the tokenizer {name} runs in Python only, and {reason}: encode with transformers, or pass another"
            " tokenizer"
        )
    try:
        rust = convert(tokenizer)
    except (ImportError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"converting the tokenizer {name} to tokenizer.json failed: {error}") from error
    _add_tokens(rust, tokenizer)
    rust.post_processor = _template(tokenizer)
    _verify(rust, tokenizer, name)
    return rust


def _add_tokens(rust: Any, tokenizer: Any) -> None:
    """Added and special tokens under their ids; Python tokenizers look for them in the text as it is."""
    from tokenizers import AddedToken

    special = set(tokenizer.all_special_tokens)
    if hasattr(tokenizer, "word_delimiter_token"):
        # CTC decoding needs the padding between repeated characters, and the space between words.
        special -= {str(tokenizer.pad_token), tokenizer.word_delimiter_token}
    added = dict(sorted(tokenizer.added_tokens_decoder.items()))
    for token in special:
        added.setdefault(tokenizer.convert_tokens_to_ids(token), AddedToken(token, normalized=False, special=True))
    for token, token_id in getattr(tokenizer, "lang_token_to_id", {}).items():
        added.setdefault(token_id, AddedToken(token, normalized=False))
    for token_id, token in sorted(added.items()):
        flags = {flag: getattr(token, flag) for flag in ("single_word", "lstrip", "rstrip")}
        is_special = token.content in special
        rust.add_tokens([AddedToken(token.content, **flags, normalized=False, special=is_special)])
        if rust.token_to_id(token.content) != token_id:
            raise CheckpointError(
                f"the added token {token.content!r} has the id {token_id}, which leaves a gap that tokenizer.json"
                " cannot hold: encode with transformers, or pass another tokenizer"
            )


def _template(tokenizer: Any) -> Any:
    """The post-processor that puts the same special tokens around a text and a pair."""
    from tokenizers.processors import TemplateProcessing

    first, second = [-1], [-2]
    single = tokenizer.build_inputs_with_special_tokens(first)
    pair = tokenizer.build_inputs_with_special_tokens(first, second)
    special = sorted({token_id for token_id in [*single, *pair] if token_id >= 0})
    names = dict(zip(special, tokenizer.convert_ids_to_tokens(special), strict=True))
    texts = {-1: "$A", -2: "$B", **names}
    single_types = _types(tokenizer, single, first)
    pair_types = _types(tokenizer, pair, first, second)
    return TemplateProcessing(
        single=[f"{texts[item]}:{kind}" for item, kind in zip(single, single_types, strict=True)],
        pair=[f"{texts[item]}:{kind}" for item, kind in zip(pair, pair_types, strict=True)],
        special_tokens=[(name, token_id) for token_id, name in names.items()],
    )


def _types(tokenizer: Any, layout: list[int], *sequences: list[int]) -> list[int]:
    types = tokenizer.create_token_type_ids_from_sequences(*sequences)
    return list(types) if len(types) == len(layout) else [0] * len(layout)


def _verify(rust: Any, tokenizer: Any, name: str) -> None:
    for text in _probe_texts(tokenizer):
        expected = tokenizer(text)["input_ids"]
        if rust.encode(text).ids != expected:
            raise CheckpointError(
                f"the tokenizer {name} could not be converted exactly: {text[:60]!r} gives {expected[:12]} in Python"
                f" and {rust.encode(text).ids[:12]} converted. Encode with transformers, or pass another tokenizer."
            )
    differing = [text for text in _RARE_TEXTS if rust.encode(text).ids != tokenizer(text)["input_ids"]]
    if differing:
        logger.warning(
            "The converted tokenizer %s differs from the Python one on rare characters, such as %r.", name, differing[0]
        )


def _probe_texts(tokenizer: Any) -> list[str]:
    """Words of the vocabulary spread evenly, in sentences of eight, and texts with odd spaces."""
    marked = {*tokenizer.all_special_tokens, *tokenizer.added_tokens_encoder}
    tokens = [token for token in sorted(tokenizer.get_vocab()) if token not in marked and not token.startswith(">>")]
    words = [_text_of(tokenizer, token) for token in tokens]
    plain = [word for word in words if word.isascii() and word.isprintable() and word]
    chosen = plain[:: max(1, len(plain) // _MAX_PROBE_WORDS)]
    sentences = [" ".join(chosen[start : start + 8]) for start in range(0, len(chosen), 8)]
    joined = ["".join(chosen[start : start + 3]) for start in range(0, len(chosen), 40)]
    return [*sentences, *joined, "", " ", f"  {' '.join(chosen[:2])}   {' '.join(chosen[2:4])} "]


def _text_of(tokenizer: Any, token: str) -> str:
    text = tokenizer.convert_tokens_to_string([token])
    # Speech tokenizers give the text with its offsets.
    return str(text["text"] if isinstance(text, dict) else text).strip()
