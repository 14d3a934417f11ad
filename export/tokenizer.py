"""Write a loaded transformers tokenizer as the files that the runtime reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headway.runtime.errors import CheckpointError, InputError
from headway.runtime.tokenization.files import (
    CONFIG_FILE,
    FINAL_KEY,
    SPECIAL_TOKENS_FILE,
    TOKENIZER_FILE,
)
from headway.runtime.tokenization.saving import (
    LEFT_OUT,
    STORED_ATTRIBUTES,
    chat_template_files,
    extra_tokens_entry,
    to_json,
)

from .slow_tokenizer import convert_slow_tokenizer

# Beside what the runtime's tokenizer has.
_STORED_ATTRIBUTES = (
    *STORED_ATTRIBUTES,
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
    "legacy_behaviour",
    "src_lang",
    "tgt_lang",
)
# Beside what the runtime leaves out: keys of one load on one machine, and of files that only transformers reads.
_LEFT_OUT = (
    *LEFT_OUT,
    "files_loaded",
    "is_local",
    "local_files_only",
    "max_length",
    "merges_file",
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
        CONFIG_FILE: to_json(config),
        SPECIAL_TOKENS_FILE: to_json(tokenizer.special_tokens_map),
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
    config.update(extra_tokens_entry(tokenizer.extra_special_tokens))
    config["tokenizer_class"] = type(tokenizer).__name__
    config[FINAL_KEY] = True
    return config


def _chat_templates(tokenizer: Any) -> dict[str, str]:
    try:
        return chat_template_files(getattr(tokenizer, "chat_template", None) or None)
    except InputError as error:
        raise CheckpointError(f"the tokenizer cannot be written: {error}") from error
