"""Python tokenizers over bytes, characters, words pieces and whole tokens, as Rust tokenizers."""

from __future__ import annotations

from typing import Any


def convert_word_pieces(tokenizer: Any) -> Any:
    """BERT's cleaning and word pieces (ProphetNet and others that kept the Python implementation)."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    pieces = tokenizer.wordpiece_tokenizer
    rust = Tokenizer(
        models.WordPiece(
            dict(pieces.vocab),
            unk_token=str(tokenizer.unk_token),
            max_input_chars_per_word=pieces.max_input_chars_per_word,
        )
    )
    basic = tokenizer.basic_tokenizer
    rust.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=basic.tokenize_chinese_chars,
        strip_accents=basic.strip_accents,
        lowercase=basic.do_lower_case,
    )
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    return rust


def convert_bytes(tokenizer: Any) -> Any:
    """One token per byte of UTF-8 (ByT5, Perceiver)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    characters = _byte_characters()
    ids = {characters[value]: tokenizer._convert_token_to_id(chr(value)) for value in range(256)}
    special = {token.content: token_id for token_id, token in tokenizer.added_tokens_decoder.items()}
    first = {token: token_id for token, token_id in special.items() if token_id < min(ids.values())}
    rust = Tokenizer(models.BPE({**first, **ids}, merges=[]))
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    rust.decoder = decoders.ByteLevel()
    return rust


def _byte_characters() -> list[str]:
    """The character that byte-level tokenizers write for each byte.

    Source: ``bytes_to_unicode`` of GPT-2's encoder.
    """
    kept = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [value for value in range(256) if value not in kept]
    written = {value: chr(value) for value in kept}
    written.update({value: chr(256 + index) for index, value in enumerate(others)})
    return [written[value] for value in range(256)]


def convert_characters(tokenizer: Any) -> Any:
    """One token per character, with a mark between words and repeats merged on decoding (Wav2Vec2's CTC)."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    mark = tokenizer.word_delimiter_token
    rust = Tokenizer(models.WordLevel(dict(tokenizer.encoder), unk_token=str(tokenizer.unk_token)))
    rust.normalizer = normalizers.Replace(" ", mark)
    rust.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    grouping = decoders.CTC(pad_token=str(tokenizer.pad_token), word_delimiter_token=mark, cleanup=False)
    spaces = decoders.Replace(mark, tokenizer.replace_word_delimiter_char)
    # By pattern: decoders.Strip panics on an empty text (tokenizers 0.23).
    ends = decoders.Replace(Regex(r"^ +| +$"), "")
    rust.decoder = decoders.Sequence([grouping, spaces, decoders.Fuse(), ends])
    return rust


def convert_whole_tokens(tokenizer: Any) -> Any:
    """Tokens found in the text wherever they stand, words between them unknown (ESM's amino acids)."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    vocabulary = dict(tokenizer._token_to_id)
    rust = Tokenizer(models.WordLevel(vocabulary, unk_token=str(tokenizer.unk_token)))
    rust.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    rust.add_tokens([AddedToken(token, normalized=False) for token in tokens])
    return rust
