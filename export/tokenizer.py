"""Write a loaded transformers tokenizer as the files that the runtime reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headway.runtime.errors import CheckpointError
from headway.runtime.tokenization.files import (
    CHAT_TEMPLATE_FILE,
    CHAT_TEMPLATE_FOLDER,
    CONFIG_FILE,
    FINAL_KEY,
    SPECIAL_TOKENS_FILE,
    TOKENIZER_FILE,
)

from .slow_tokenizer import convert_slow_tokenizer

# Attributes of a transformers tokenizer that change what it gives, stored in tokenizer_config.json by the same name.
_STORED_ATTRIBUTES = (
    "clean_up_tokenization_spaces",
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
    "legacy_behaviour",
    "model_input_names",
    "model_max_length",
    "padding_side",
    "split_special_tokens",
    "src_lang",
    "tgt_lang",
    "truncation_side",
)
# Keys of one load on one machine, and what other files hold.
_LEFT_OUT = (
    "add_bos_token",
    "add_eos_token",
    "added_tokens_decoder",
    "additional_special_tokens",
    "chat_template",
    "files_loaded",
    "fix_mistral_regex",
    "is_local",
    "local_files_only",
    "max_length",
    "merges_file",
    "model_specific_special_tokens",
    "name_or_path",
    "pad_to_multiple_of",
    "pad_token_type_id",
    "special_tokens_map_file",
    "stride",
    "tokenizer_file",
    "tokenizer_object",
    "truncation_strategy",
    "vocab",
    "merges",
    "vocab_file",
)


def save_tokenizer(tokenizer: Any, folder: str | Path) -> list[str]:
    """Write tokenizer.json, tokenizer_config.json, special_tokens_map.json and the chat templates.

    Headway's ``Tokenizer`` gives for these files what ``tokenizer`` gives; transformers reads them too.

    Args:
        tokenizer: a transformers tokenizer, or a processor that has one.
        folder: an existing folder.

    Returns:
        The names of the files written, relative to ``folder``.

    Raises:
        CheckpointError: a tokenizer without a Rust form, with the reason.
    """
    tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
    rust = getattr(tokenizer, "backend_tokenizer", None)
    config = _config(tokenizer)
    if rust is None:
        rust = convert_slow_tokenizer(tokenizer)
        # Python tokenizers clean up whatever their vocabulary is.
        config["clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output"] = True
    files = {
        TOKENIZER_FILE: _rust_json(rust),
        CONFIG_FILE: _to_json(config),
        SPECIAL_TOKENS_FILE: _to_json(tokenizer.special_tokens_map),
        **_chat_templates(tokenizer),
    }
    for name, text in files.items():
        path = Path(folder) / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(files)


def _rust_json(rust: Any) -> str:
    """tokenizer.json without the padding and truncation of whoever used the tokenizer last."""
    content = json.loads(rust.to_str())
    content["padding"] = content["truncation"] = None
    return json.dumps(content, indent=2, ensure_ascii=False)


def _config(tokenizer: Any) -> dict[str, Any]:
    config = {name: value for name, value in tokenizer.init_kwargs.items() if name not in _LEFT_OUT}
    config = {name: value for name, value in config.items() if not name.startswith("_")}
    for name in _STORED_ATTRIBUTES:
        if getattr(tokenizer, name, None) is not None:
            config[name] = getattr(tokenizer, name)
    config.update(dict.fromkeys(tokenizer.SPECIAL_TOKENS_ATTRIBUTES))
    config.update(tokenizer.special_tokens_map)
    config["extra_special_tokens"] = list(tokenizer.extra_special_tokens)
    config["tokenizer_class"] = type(tokenizer).__name__
    config[FINAL_KEY] = True
    return config


def _chat_templates(tokenizer: Any) -> dict[str, str]:
    """File name → text."""
    templates = getattr(tokenizer, "chat_template", None)
    if not templates:
        return {}
    named = {"default": templates} if isinstance(templates, str) else templates
    files = {}
    for name, text in named.items():
        if Path(name).name != name:
            raise CheckpointError(f"the chat template name {name!r} cannot be a file name")
        files[CHAT_TEMPLATE_FILE if name == "default" else f"{CHAT_TEMPLATE_FOLDER}/{name}.jinja"] = text
    return files


def _to_json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True, default=str) + "\n"
