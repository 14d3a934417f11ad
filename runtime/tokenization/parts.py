"""The parts that transformers' tokenizer classes put around a vocabulary: normalizers, splitting, decoders.

Source: ``__init__`` of the classes in models/*/tokenization_*.py of transformers 5.23.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CLIP_SPLIT = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN3_5_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_MARK = "▁"


@dataclass(frozen=True)
class Source:
    """What a recipe reads.

    Args:
        config: tokenizer_config.json with the caller's overrides.
        charsmap: the SentencePiece character map of tokenizer.json's normalizer, None without one.
    """

    config: dict[str, Any]
    charsmap: bytes | None

    def option(self, name: str, default: Any) -> Any:
        """A key of tokenizer_config.json."""
        return self.config.get(name, default)

    def prefix_space(self, default: bool) -> bool:
        """``add_prefix_space``, where None means the default."""
        chosen = self.config.get("add_prefix_space")
        return default if chosen is None else bool(chosen)


def no_part(source: Source) -> None:
    """Nothing: the class has no such part."""


def bert_normalizer(source: Source, lower_case: bool | None = None) -> Any:
    """BERT's cleaning, with its casing options."""
    from tokenizers.normalizers import BertNormalizer

    return BertNormalizer(
        clean_text=source.option("clean_text", True),
        handle_chinese_chars=source.option("tokenize_chinese_chars", True),
        strip_accents=source.option("strip_accents", None),
        lowercase=source.option("do_lower_case", True) if lower_case is None else lower_case,
    )


def bert_splitting(source: Source) -> Any:
    """White space and punctuation."""
    from tokenizers.pre_tokenizers import BertPreTokenizer

    return BertPreTokenizer()


def wordpiece_decoder(source: Source) -> Any:
    """Joins pieces that start with ``##``."""
    from tokenizers.decoders import WordPiece

    return WordPiece(prefix=source.option("wordpieces_prefix", "##"))


def nfc_normalizer(source: Source) -> Any:
    """Composed characters."""
    from tokenizers.normalizers import NFC

    return NFC()


def byte_splitting(source: Source, prefix_space: bool = False) -> Any:
    """GPT-2's byte-level words."""
    from tokenizers.pre_tokenizers import ByteLevel

    return ByteLevel(add_prefix_space=source.prefix_space(prefix_space))


def byte_decoder(source: Source) -> Any:
    """Bytes back to text."""
    from tokenizers.decoders import ByteLevel

    return ByteLevel()


def pattern_splitting(source: Source, pattern: str) -> Any:
    """Words by a pattern, then bytes."""
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=source.prefix_space(False), use_regex=False),
        ]
    )


def cohere_splitting(source: Source) -> Any:
    """Single digits, then byte-level words."""
    from tokenizers import pre_tokenizers

    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=source.prefix_space(False), trim_offsets=True),
        ]
    )


def clip_normalizer(source: Source) -> Any:
    """Composed, single spaces, lower case."""
    from tokenizers import Regex, normalizers

    return normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])


def clip_splitting(source: Source) -> Any:
    """CLIP's words as bytes."""
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CLIP_SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )


def _scheme(source: Source, otherwise: str | None) -> str:
    """``otherwise`` is the scheme without ``add_prefix_space``; None for classes that have no such option."""
    return "always" if otherwise is None or source.prefix_space(True) else otherwise


def marked_splitting(source: Source, *, on_spaces: bool, otherwise: str | None = "never") -> Any:
    """Words marked with ``▁``; ``on_spaces`` drops all white space first."""
    from tokenizers import pre_tokenizers

    mark = pre_tokenizers.Metaspace(replacement=_MARK, prepend_scheme=_scheme(source, otherwise))
    if not on_spaces:
        return mark
    return pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), mark])


def marked_decoder(source: Source, otherwise: str | None = "never") -> Any:
    """``▁`` back to spaces."""
    from tokenizers.decoders import Metaspace

    return Metaspace(replacement=_MARK, prepend_scheme=_scheme(source, otherwise))


def charsmap_normalizer(source: Source) -> Any:
    """SentencePiece's character map, where the folder has one."""
    from tokenizers.normalizers import Precompiled

    return None if source.charsmap is None else Precompiled(source.charsmap)


def charsmap_and_spaces_normalizer(source: Source, without_charsmap: bool) -> Any:
    """The character map, then runs of spaces to one; ``without_charsmap``: the latter alone where there is no map."""
    from tokenizers import Regex, normalizers

    one_space = normalizers.Replace(Regex(" {2,}"), " ")
    if source.charsmap is not None:
        return normalizers.Sequence([normalizers.Precompiled(source.charsmap), one_space])
    return normalizers.Sequence([one_space]) if without_charsmap else None


def pegasus_normalizer(source: Source) -> Any:
    """Character map and single spaces; without a map, no line breaks."""
    from tokenizers import Regex, normalizers

    if source.charsmap is not None:
        return charsmap_and_spaces_normalizer(source, without_charsmap=False)
    return normalizers.Sequence([normalizers.Replace(Regex(r"\n"), " "), normalizers.Replace(Regex(r" {2,}"), " ")])


def quoting_normalizer(source: Source, *, lower_case: bool, keep_accents: bool | None, one_space: bool = False) -> Any:
    """ALBERT's steps: plain quotes, no accents, lower case, character map; ``keep_accents`` None: never kept."""
    from tokenizers import Regex, normalizers

    steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if one_space:
        steps.append(normalizers.Replace(Regex(" {2,}"), " "))
    if keep_accents is None or not source.option("keep_accents", keep_accents):
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if source.option("do_lower_case", lower_case):
        steps.append(normalizers.Lowercase())
    if source.charsmap is not None:
        steps.append(normalizers.Precompiled(source.charsmap))
    return normalizers.Sequence(steps)


def tidy_normalizer(source: Source, *, can_lower_case: bool) -> Any:
    """One space for white space, NFC, no space at the end."""
    from tokenizers import Regex, normalizers

    steps: list[Any] = [normalizers.Lowercase()] if can_lower_case and source.option("do_lower_case", False) else []
    return normalizers.Sequence(
        [
            *steps,
            normalizers.Replace(Regex(r"\s{2,}|[\n\r\t]"), " "),
            normalizers.NFC(),
            normalizers.Strip(left=False, right=True),
        ]
    )


def big_bird_normalizer(source: Source) -> Any:
    """Runs of spaces to the mark."""
    from tokenizers import Regex, normalizers

    return normalizers.Sequence(
        [normalizers.Strip(left=False, right=False), normalizers.Replace(Regex(r" {2,}"), _MARK)]
    )


def deberta_v2_splitting(source: Source) -> Any:
    """Marked words, after punctuation on request."""
    from tokenizers import pre_tokenizers

    steps: list[Any] = []
    if source.option("split_by_punct", False):
        steps.append(pre_tokenizers.Punctuation(behavior="isolated"))
    steps.append(marked_splitting(source, on_spaces=False, otherwise="first"))
    return pre_tokenizers.Sequence(steps)


def llama_splitting(source: Source, *, legacy_matters: bool) -> Any:
    """Spaces to marks, with one before the text."""
    from tokenizers.pre_tokenizers import Metaspace

    scheme = "never"
    if source.prefix_space(True):
        scheme = "always" if legacy_matters and source.option("legacy", False) else "first"
    return Metaspace(replacement=_MARK, prepend_scheme=scheme, split=False)


def byte_fallback_decoder(source: Source, *, strip: bool) -> Any:
    """Marks to spaces and byte tokens to text; ``strip`` drops the first space."""
    from tokenizers import decoders

    steps: list[Any] = [decoders.Replace(_MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    if strip:
        steps.append(decoders.Strip(content=" ", left=1))
    return decoders.Sequence(steps)


def gemma_normalizer(source: Source, lower_case: bool = False) -> Any:
    """Spaces to marks."""
    from tokenizers import normalizers

    mark = normalizers.Replace(" ", _MARK)
    return normalizers.Sequence([normalizers.Lowercase(), mark]) if lower_case else mark


def gemma_splitting(source: Source) -> Any:
    """After each space (there are none left: one word)."""
    from tokenizers.pre_tokenizers import Split

    return Split(pattern=" ", behavior="merged_with_previous", invert=False)


def llama_decoder(source: Source) -> Any:
    """As above, dropping the first space where one was put."""
    return byte_fallback_decoder(source, strip=source.prefix_space(True))
