"""Bring a freshly read Rust tokenizer into the state that transformers would run it in."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from .backend import Backend
from .files import TokenizerFiles
from .recipes import rebuild
from .settings import TokenizerSettings
from .templates import begin_and_end_template, class_template

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

logger = logging.getLogger("headway")

# Option → attribute of the BERT normalizer.
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
    if not files.is_final:
        rebuild(rust, files.class_name, settings.config)
    _override_parts(rust, overrides)
    missing = _tokens_to_add(rust, settings)
    if missing:
        rust.add_tokens(missing)
    _fix_mistral_splitting(rust, files, settings.config.get("fix_mistral_regex"))
    if not files.is_final:
        template = class_template(files.class_name, _token_ids(rust, settings), settings.config)
        if template is not None:
            rust.post_processor = template
    if rust.post_processor is None:
        rust.post_processor = begin_and_end_template(None, None)


def _override_parts(rust: Tokenizer, overrides: dict[str, Any]) -> None:
    """Apply the overrides that change a part of the Rust tokenizer.

    Raises:
        OptionError: the tokenizer has no such part.
    """
    casing = overrides.keys() & _CASING_OPTIONS.keys()
    if casing and type(rust.normalizer).__name__ != "BertNormalizer":
        raise OptionError(f"this tokenizer has no BERT normalizer, so it cannot take {', '.join(sorted(casing))}")
    for option in casing:
        setattr(rust.normalizer, _CASING_OPTIONS[option], overrides[option])
    if "add_prefix_space" in overrides:
        _set_prefix_space(rust, bool(overrides["add_prefix_space"]))


def _set_prefix_space(rust: Tokenizer, value: bool) -> None:
    """Make the splitting put (or not put) a space before the first word, so that it is split like the others."""
    splitters = [part for part in _parts_of(rust.pre_tokenizer) if type(part).__name__ in ("ByteLevel", "Metaspace")]
    if not splitters:
        raise OptionError("this tokenizer has no splitting step that add_prefix_space could change; leave it out")
    for part in splitters:
        if type(part).__name__ == "ByteLevel":
            part.add_prefix_space = value
        elif (part.prepend_scheme == "never") == value:
            part.prepend_scheme = "always" if value else "never"
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


def _token_ids(rust: Tokenizer, settings: TokenizerSettings) -> dict[str, tuple[str, int]]:
    """Attribute → (token, id) of the special tokens, and of the full stop that Splinter's template uses."""
    found = {}
    for name, token in {**settings.special_tokens, ".": "."}.items():
        token_id = None if token is None else rust.token_to_id(str(token))
        if token_id is not None:
            found[name] = (str(token), token_id)
    return found


def _fix_mistral_splitting(rust: Tokenizer, files: TokenizerFiles, wanted: bool | None) -> None:
    """Replace the splitting pattern that Mistral folders of before transformers 5 carry, when asked to.

    Source: ``TokenizersBackend._patch_mistral_regex`` of transformers 5.23.
    """
    if rust.get_vocab_size() <= _MISTRAL_MIN_VOCABULARY or rust.pre_tokenizer is None or files.is_final:
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
