"""Bring a freshly read Rust tokenizer into the state that transformers would run it in."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from .errors import OptionError
from .tokenizer_backend import Backend
from .tokenizer_classes import defaults_of
from .tokenizer_files import TokenizerFiles
from .tokenizer_settings import TokenizerSettings

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

logger = logging.getLogger("headway")

_CASING_OPTIONS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
_MISTRAL_TYPES = ("mistral", "mistral3", "voxtral", "ministral", "pixtral")
_MISTRAL_MIN_VOCABULARY = 100_000
_MISTRAL_SPLIT = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def prepare_backend(
    backend: Backend, settings: TokenizerSettings, files: TokenizerFiles, overrides: dict[str, Any]
) -> None:
    """Apply to the Rust tokenizer what the files around tokenizer.json and the caller's overrides ask for.

    Source: ``TokenizersBackend.__init__`` and the model classes' ``__init__`` of transformers 5.23.
    """
    rust = backend.rust
    defaults = defaults_of(files.class_name)
    if defaults.word_pieces or overrides.keys() & _CASING_OPTIONS.keys():
        _set_casing(rust, settings.config, overrides)
    if "add_prefix_space" in overrides:
        _set_prefix_space(rust, bool(overrides["add_prefix_space"]), required=True)
    elif defaults.prefix_space and settings.config.get("add_prefix_space") is not None:
        _set_prefix_space(rust, bool(settings.config["add_prefix_space"]), required=False)
    missing = _tokens_to_add(rust, settings)
    if missing:
        rust.add_tokens(missing)
    _fix_mistral_splitting(rust, files, settings.config.get("fix_mistral_regex"))


def begin_and_end_template(
    begin: tuple[str, int] | None, end: tuple[str, int] | None
) -> Any:
    """Post-processor that puts ``begin`` before and ``end`` after each text; each is (token, id) or None.

    Source: ``TokenizersBackend.update_post_processor`` of transformers 5.23.
    """
    from tokenizers.processors import TemplateProcessing

    before = f"{begin[0]}:0 " if begin else ""
    after = f" {end[0]}:0" if end else ""
    single = f"{before}$A:0{after}"
    # The blanks are transformers' own; TemplateProcessing splits on them.
    second_before = f" {begin[0]}:1" if begin else ""
    second_after = f" {end[0]}:1" if end else ""
    return TemplateProcessing(
        single=single,
        pair=f"{single}{second_before} $B:1{second_after}",
        special_tokens=[token for token in (begin, end) if token],
    )


def _set_casing(rust: Tokenizer, config: dict[str, Any], overrides: dict[str, Any]) -> None:
    """Make the BERT normalizer follow tokenizer_config.json, or the overrides."""
    if type(rust.normalizer).__name__ != "BertNormalizer":
        unusable = overrides.keys() & _CASING_OPTIONS.keys()
        if unusable:
            raise OptionError(f"this tokenizer has no BERT normalizer, so it cannot take {', '.join(sorted(unusable))}")
        return
    for option, attribute in _CASING_OPTIONS.items():
        if option in config:
            setattr(rust.normalizer, attribute, config[option])


def _set_prefix_space(rust: Tokenizer, value: bool, *, required: bool) -> None:
    """Make the splitting put (or not put) a space before the first word, so that it is split like the others."""
    found = False
    for part in _parts_of(rust.pre_tokenizer):
        if type(part).__name__ == "ByteLevel":
            part.add_prefix_space = value
            found = True
        elif type(part).__name__ == "Metaspace":
            part.prepend_scheme = "always" if value else "never"
            found = True
    if required and not found:
        raise OptionError("this tokenizer has no splitting step that add_prefix_space could change; leave it out")
    if type(rust.post_processor).__name__ == "RobertaProcessing":
        rust.post_processor.add_prefix_space = value


def _parts_of(pre_tokenizer: Any) -> list[Any]:
    if type(pre_tokenizer).__name__ != "Sequence":
        return [pre_tokenizer]
    count = len(json.loads(pre_tokenizer.__getstate__())["pretokenizers"])
    return [pre_tokenizer[index] for index in range(count)]


def _tokens_to_add(rust: Tokenizer, settings: TokenizerSettings) -> list[AddedToken]:
    """Tokens that the other files name and the Rust tokenizer lacks, or has with other matching flags."""
    from tokenizers import AddedToken

    present = rust.get_added_tokens_decoder()
    present_as_written = {repr(token) for token in present.values()}
    missing: list[AddedToken] = [
        token for _, token in sorted(settings.added_tokens.items()) if repr(token) not in present_as_written
    ]
    known = {token.content for token in present.values()} | {token.content for token in missing}
    named = [token for token in settings.special_tokens.values() if token is not None]
    for token in [*named, *settings.extra_special_tokens]:
        if str(token) not in known:
            known.add(str(token))
            missing.append(AddedToken(token, special=True) if isinstance(token, str) else token)
    named_texts = {str(token) for token in named}
    for token in missing:
        if token.content in named_texts:
            token.special = True
    return missing


def _fix_mistral_splitting(rust: Tokenizer, files: TokenizerFiles, wanted: bool | None) -> None:
    """Replace the splitting pattern that Mistral folders of before transformers 5 carry, when asked to.

    Source: ``TokenizersBackend._patch_mistral_regex`` of transformers 5.23.
    """
    if rust.get_vocab_size() <= _MISTRAL_MIN_VOCABULARY or rust.pre_tokenizer is None:
        return
    version = str(files.model_config.get("transformers_version") or "0")
    if files.model_config.get("model_type") not in _MISTRAL_TYPES or int(version.split(".")[0]) >= 5:
        return
    if not wanted:
        logger.warning(
            "%s splits text with a pattern that Mistral has since corrected: pass fix_mistral_regex=True to use the"
            " corrected one.",
            files.tokenizer_file,
        )
        return
    from tokenizers import Regex, pre_tokenizers

    split = pre_tokenizers.Split(pattern=Regex(_MISTRAL_SPLIT), behavior="isolated")
    current: Any = rust.pre_tokenizer
    if type(current).__name__ == "Sequence":
        current[0] = split
        return
    if type(current).__name__ == "Metaspace":
        current = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    rust.pre_tokenizer = pre_tokenizers.Sequence([split, current])
