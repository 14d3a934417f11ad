"""Merge a folder's files, its class's defaults and the caller's overrides into the settings of a tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import CorruptArtifactError, OptionError
from .backend import Backend
from .classes import defaults_of
from .files import ChatTemplate, TokenizerFiles, parse_chat_template

if TYPE_CHECKING:
    from tokenizers import AddedToken

Token = "str | AddedToken"

NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
UNLIMITED_LENGTH = int(1e30)
SIDES = ("right", "left")


@dataclass
class TokenizerSettings:
    """How a tokenizer behaves, apart from what its tokenizer.json holds.

    Args:
        special_tokens: attribute → token, the seven named ones first; None where the tokenizer has no such token.
        extra_special_tokens: further special tokens, which have no attribute.
        added_tokens: id → token, as the files list them.
        model_max_length: tokens that the model takes; 10**30 when unknown.
        padding_side: ``"right"`` or ``"left"``.
        truncation_side: ``"right"`` or ``"left"``, the end that is cut.
        model_input_names: the keys that a call returns by default.
        clean_up_tokenization_spaces: whether ``decode`` removes spaces before punctuation.
        clean_up_byte_pairs: whether it does so for byte-pair tokenizers too.
        split_special_tokens: whether the text of special tokens is encoded as ordinary text.
        chat_template: one template, templates by name, or None.
        class_name: the transformers class the tokenizer was made with.
        config: tokenizer_config.json with the overrides, for saving.
    """

    special_tokens: dict[str, str | AddedToken | None]
    extra_special_tokens: list[str | AddedToken]
    added_tokens: dict[int, AddedToken]
    model_max_length: int
    padding_side: str
    truncation_side: str
    model_input_names: list[str]
    clean_up_tokenization_spaces: bool
    clean_up_byte_pairs: bool
    split_special_tokens: bool
    chat_template: ChatTemplate
    class_name: str | None
    config: dict[str, Any] = field(default_factory=dict)


def merge_settings(files: TokenizerFiles, backend: Backend, overrides: dict[str, Any]) -> TokenizerSettings:
    """Settings of a tokenizer folder, with transformers' precedence.

    Overrides win over special_tokens_map.json, that over tokenizer_config.json, that over the padding and truncation
    stored in tokenizer.json, and all of them over the class's defaults.
    Source: ``PreTrainedTokenizerBase._from_pretrained`` of transformers 5.23.

    Raises:
        OptionError: a side that is neither left nor right.
        CorruptArtifactError: a special token that is neither text nor a token object.
    """
    config = {**files.config, **overrides}
    added_tokens = _listed_tokens(config)
    if added_tokens is None:
        config.update(_legacy_special_tokens(files, config, overrides))
        added_tokens = _legacy_added_tokens(files, backend, config)
    defaults = defaults_of(files.class_name)
    if not config.get("extra_special_tokens") and "additional_special_tokens" in config:
        config["extra_special_tokens"] = config.pop("additional_special_tokens")
    if config.get("extra_special_tokens") is None:
        # What Headway wrote says all there is.
        num_sentinels = 0 if files.is_final else config.get("extra_ids", defaults.num_sentinels)
        config["extra_special_tokens"] = [f"<extra_id_{index}>" for index in range(num_sentinels)]
    padding, truncation = backend.rust.padding or {}, backend.rust.truncation or {}
    special_tokens, extra = _special_tokens(config, dict(defaults.special_tokens), added_tokens, padding)
    return TokenizerSettings(
        special_tokens=special_tokens,
        extra_special_tokens=extra,
        added_tokens=added_tokens,
        model_max_length=_length_limit(config),
        padding_side=check_side(
            "padding_side", config.get("padding_side") or padding.get("direction") or defaults.padding_side
        ),
        truncation_side=check_side(
            "truncation_side", config.get("truncation_side") or truncation.get("direction") or "right"
        ),
        model_input_names=list(config.get("model_input_names") or defaults.model_input_names),
        clean_up_tokenization_spaces=bool(config.get("clean_up_tokenization_spaces", False)),
        clean_up_byte_pairs=bool(
            config.get("clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", False)
        ),
        split_special_tokens=bool(config.get("split_special_tokens", False)),
        chat_template=parse_chat_template(overrides["chat_template"])
        if "chat_template" in overrides
        else files.chat_template,
        class_name=files.class_name,
        config=config,
    )


def check_side(name: str, side: Any) -> str:
    """Return ``side``.

    Raises:
        OptionError: it is neither ``"right"`` nor ``"left"``.
    """
    if side not in SIDES:
        raise OptionError(f"got {name}={side!r}: it must be 'right' or 'left'")
    return str(side)


def parse_token(value: Any) -> str | AddedToken:
    """A token as the JSON files write it: text, or an object with ``content`` and matching flags.

    Raises:
        CorruptArtifactError: anything else.
    """
    from tokenizers import AddedToken

    if isinstance(value, str | AddedToken):
        return value
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
        return AddedToken(value["content"], **{flag: bool(value[flag]) for flag in flags if flag in value})
    raise CorruptArtifactError(f"got {value!r} as a special token: it must be text, or an object with 'content'")


def _length_limit(config: dict[str, Any]) -> int:
    limit = config.get("model_max_length", config.get("max_len"))
    return UNLIMITED_LENGTH if limit is None else int(limit)


def _listed_tokens(config: dict[str, Any]) -> dict[int, AddedToken] | None:
    """The ``added_tokens_decoder`` of tokenizer_config.json (transformers 4.34 to 4.x), None without one."""
    from tokenizers import AddedToken

    listed = config.pop("added_tokens_decoder", None)
    if listed is None:
        return None
    tokens = {int(token_id): parse_token(token) for token_id, token in listed.items()}
    return {token_id: token for token_id, token in tokens.items() if isinstance(token, AddedToken)}


def _legacy_special_tokens(files: TokenizerFiles, config: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Special tokens of special_tokens_map.json, which count only without ``added_tokens_decoder``."""
    found: dict[str, Any] = {}
    for name, value in files.special_tokens_map.items():
        if overrides.get(name):
            continue
        if isinstance(value, dict) and name != "extra_special_tokens":
            value = parse_token({**value, "special": True})
        elif name == "extra_special_tokens" and isinstance(value, list):
            listed = [parse_token(token) for token in config.get(name) or []]
            value = listed + [token for token in map(parse_token, value) if token not in listed]
        found[name] = value
    return found


def _legacy_added_tokens(files: TokenizerFiles, backend: Backend, config: dict[str, Any]) -> dict[int, AddedToken]:
    """Tokens of added_tokens.json and tokenizer.json."""
    from tokenizers import AddedToken

    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    special = {_text(config.get(name)) for name in NAMED_TOKENS} | {_text(token) for token in extra}
    tokens = {
        token_id: AddedToken(token, normalized=token not in special, special=token in special)
        for token, token_id in files.added_tokens.items()
    }
    return {**tokens, **backend.rust.get_added_tokens_decoder()}


def _special_tokens(
    config: dict[str, Any],
    defaults: dict[str, str],
    added_tokens: dict[int, AddedToken],
    padding: dict[str, Any],
) -> tuple[dict[str, str | AddedToken | None], list[str | AddedToken]]:
    """Named and extra special tokens; a token that is also listed as added keeps that entry's matching flags."""
    flagged = {token.content: token for token in added_tokens.values()}
    if padding and not defaults:
        defaults = {"pad_token": padding["pad_token"]}
    extra = config.get("extra_special_tokens") or []
    named = {**defaults, **{name: value for name, value in config.items() if _names_a_token(name, value)}}
    named.update(config.get("model_specific_special_tokens") or {})
    if isinstance(extra, dict):
        named.update(extra)
        extra = []
    tokens: dict[str, str | AddedToken | None] = dict.fromkeys(NAMED_TOKENS)
    for name, value in named.items():
        token = None if value is None else parse_token(value)
        tokens[name] = flagged.get(str(token), token) if name in NAMED_TOKENS and token is not None else token
    return tokens, [parse_token(token) for token in extra]


def _names_a_token(name: str, value: Any) -> bool:
    """Whether a key of tokenizer_config.json is a special token: a named one, or a model's own such as image_token."""
    if name in NAMED_TOKENS:
        return True
    is_token = isinstance(value, str) or type(value).__name__ == "AddedToken"
    is_token = is_token or (isinstance(value, dict) and value.get("__type") == "AddedToken")
    return name.endswith("_token") and is_token


def _text(token: Any) -> str | None:
    if isinstance(token, dict):
        return token.get("content")
    return None if token is None else str(token)
