"""Write a tokenizer's files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .files import (
    CHAT_TEMPLATE_FILE,
    CHAT_TEMPLATE_FOLDER,
    CONFIG_FILE,
    FINAL_KEY,
    SPECIAL_TOKENS_FILE,
    TOKENIZER_FILE,
    ChatTemplate,
)

if TYPE_CHECKING:
    from .tokenizer import Tokenizer

STORED_ATTRIBUTES = (
    "clean_up_tokenization_spaces",
    "model_input_names",
    "model_max_length",
    "padding_side",
    "split_special_tokens",
    "truncation_side",
)
"""Attributes of a tokenizer that tokenizer_config.json stores under the same name."""

LEFT_OUT = (
    "add_bos_token",
    "add_eos_token",
    "added_tokens_decoder",
    "additional_special_tokens",
    "chat_template",
    "extra_special_tokens",
    "fix_mistral_regex",
    "model_specific_special_tokens",
)
"""Keys of a loaded configuration that belong to one load, that other files hold, or that are written anew."""


def save_tokenizer_files(tokenizer: Tokenizer, folder: Path) -> tuple[str, ...]:
    """Write tokenizer.json, tokenizer_config.json, special_tokens_map.json and the chat templates.

    Raises:
        InputError: ``folder`` is a file.
    """
    if folder.is_file():
        raise InputError(f"{folder} is a file: a tokenizer is saved to a folder")
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        folder / TOKENIZER_FILE: tokenizer._backend.to_json(),
        folder / CONFIG_FILE: to_json(_config(tokenizer)),
        folder / SPECIAL_TOKENS_FILE: to_json(tokenizer.special_tokens_map),
        **{folder / name: text for name, text in chat_template_files(tokenizer.chat_template).items()},
    }
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tuple(map(str, texts))


def _config(tokenizer: Tokenizer) -> dict[str, Any]:
    config = {name: value for name, value in tokenizer.init_kwargs.items() if name not in LEFT_OUT}
    config.update({name: getattr(tokenizer, name) for name in STORED_ATTRIBUTES})
    languages = {"src_lang": tokenizer.src_lang, "tgt_lang": tokenizer.tgt_lang}
    config.update({name: language for name, language in languages.items() if language is not None})
    config.update(dict.fromkeys(tokenizer._special_tokens))
    config.update(tokenizer.special_tokens_map)
    config.update(extra_tokens_entry(tokenizer.extra_special_tokens))
    config.setdefault("tokenizer_class", tokenizer.class_name)
    config[FINAL_KEY] = True
    return config


def extra_tokens_entry(tokens: Sequence[str]) -> dict[str, list[str]]:
    """The entry of special tokens without a name; none where there is none, as transformers 4 reads no empty list."""
    return {"extra_special_tokens": list(tokens)} if tokens else {}


def chat_template_files(templates: ChatTemplate) -> dict[str, str]:
    """Name of a file in the tokenizer's folder → the template that it holds.

    Raises:
        InputError: a template's name cannot be a file's.
    """
    if templates is None:
        return {}
    named = {"default": templates} if isinstance(templates, str) else templates
    files = {}
    for name, text in named.items():
        if Path(name).name != name:
            raise InputError(f"got the chat template name {name!r}: it becomes a file name and may hold no slash")
        files[CHAT_TEMPLATE_FILE if name == "default" else f"{CHAT_TEMPLATE_FOLDER}/{name}.jinja"] = text
    return files


def to_json(content: dict[str, Any]) -> str:
    """Text of a file that holds settings: sorted, so that two can be compared."""
    return json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True, default=str) + "\n"
