"""Read the files of a tokenizer folder into one record."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import ArtifactNotFoundError, CorruptArtifactError
from ..safe_paths import read_optional_json
from .model_types import choose_class
from .vocabulary_files import BYTE_PAIRS_FILE, MERGES_FILE, WORD_PIECES_FILE, class_of_vocabulary, vocabulary_file

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"
CHAT_TEMPLATE_FILE = "chat_template.jinja"
CHAT_TEMPLATE_FOLDER = "additional_chat_templates"
MODEL_CONFIG_FILE = "config.json"

# Key that Headway adds to tokenizer_config.json.
FINAL_KEY = "headway_final_tokenizer"

ALLOW_PATTERNS = (
    TOKENIZER_FILE,
    CONFIG_FILE,
    SPECIAL_TOKENS_FILE,
    ADDED_TOKENS_FILE,
    CHAT_TEMPLATE_FILE,
    f"{CHAT_TEMPLATE_FOLDER}/*.jinja",
    MODEL_CONFIG_FILE,
    WORD_PIECES_FILE,
    BYTE_PAIRS_FILE,
    MERGES_FILE,
)

ChatTemplate = str | dict[str, str] | None


@dataclass(frozen=True)
class TokenizerFiles:
    """What a tokenizer folder holds.

    Args:
        tokenizer_file: path of tokenizer.json, or of the vocabulary in a folder without one.
        config: tokenizer_config.json; empty when there is none.
        model_config: config.json; empty when there is none.
        special_tokens_map: special_tokens_map.json; empty when there is none.
        added_tokens: added_tokens.json, token → id; empty when there is none.
        chat_template: one template, templates by name, or None.
    """

    tokenizer_file: Path
    config: dict[str, Any]
    model_config: dict[str, Any]
    special_tokens_map: dict[str, Any]
    added_tokens: dict[str, int]
    chat_template: ChatTemplate

    @cached_property
    def class_name(self) -> str:
        """The class that transformers would load the folder with, without its ``Fast`` ending."""
        chosen = choose_class(
            self.config.get("tokenizer_class") or self.model_config.get("tokenizer_class"),
            self.model_config.get("model_type"),
            lambda: '"ByteLevel"' in self.tokenizer_file.read_text(encoding="utf-8"),
        )
        return chosen if self.has_tokenizer_file else class_of_vocabulary(self.tokenizer_file, chosen)

    @property
    def has_tokenizer_file(self) -> bool:
        """Whether there is a tokenizer.json, and not only a vocabulary."""
        return self.tokenizer_file.name == TOKENIZER_FILE

    @property
    def is_final(self) -> bool:
        """Whether tokenizer.json holds the tokenizer as it ran, so that no class has to build parts of it anew."""
        return bool(self.config.get(FINAL_KEY))


def read_tokenizer_files(folder: Path) -> TokenizerFiles:
    """Read a tokenizer folder.

    Raises:
        ArtifactNotFoundError: no tokenizer.json, and no vocabulary that can stand in.
        CorruptArtifactError: a file that is not the JSON object it should be.
    """
    own = folder / TOKENIZER_FILE
    tokenizer_file = own if own.is_file() else vocabulary_file(folder)
    if tokenizer_file is None:
        raise ArtifactNotFoundError(_missing_message(folder))
    config = _read_object(folder / CONFIG_FILE)
    return TokenizerFiles(
        tokenizer_file=tokenizer_file,
        config=config,
        model_config=_read_object(folder / MODEL_CONFIG_FILE),
        special_tokens_map=_read_object(folder / SPECIAL_TOKENS_FILE),
        added_tokens=_read_object(folder / ADDED_TOKENS_FILE),
        chat_template=_read_chat_template(folder, config),
    )


def _missing_message(folder: Path) -> str:
    vocabularies = [
        name for name in ("vocab.txt", "vocab.json", "spiece.model", "tokenizer.model") if (folder / name).is_file()
    ]
    found = f"; it has {', '.join(vocabularies)}, which only transformers reads" if vocabularies else ""
    return (
        f"{folder} has no {TOKENIZER_FILE}{found}. Export the checkpoint with `headway export`, which always writes"
        f" one, or save it with transformers' AutoTokenizer.from_pretrained(...).save_pretrained({str(folder)!r})."
    )


def _read_object(path: Path) -> dict[str, Any]:
    return read_optional_json(path) or {}


def _read_chat_template(folder: Path, config: dict[str, Any]) -> ChatTemplate:
    """Template files win over the templates inside tokenizer_config.json."""
    templates = {}
    if (folder / CHAT_TEMPLATE_FILE).is_file():
        templates["default"] = _read_text(folder / CHAT_TEMPLATE_FILE)
    for path in sorted((folder / CHAT_TEMPLATE_FOLDER).glob("*.jinja")):
        templates[path.stem] = _read_text(path)
    if list(templates) == ["default"]:
        return templates["default"]
    return templates or parse_chat_template(config.get("chat_template"))


def parse_chat_template(value: Any) -> ChatTemplate:
    """A template as tokenizer_config.json writes it: a string, or a list of objects with ``name`` and ``template``.

    Raises:
        CorruptArtifactError: anything else.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict) and all(isinstance(template, str) for template in value.values()):
        return dict(value)
    try:
        return {str(entry["name"]): str(entry["template"]) for entry in value}
    except (TypeError, KeyError):
        raise CorruptArtifactError(
            f"chat_template is a {type(value).__name__}: it must be a string, or a list of objects with 'name' and"
            " 'template'."
        ) from None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CorruptArtifactError(f"{path} is not UTF-8 text ({error}): fetch or export it again.") from error
