"""The options that a model's own folder sets."""

from __future__ import annotations

from ..artifact import Artifact
from ..safe_paths import read_optional_json
from .config import GENERATION_CONFIG_FILE, GenerationConfig


def default_generation_config(artifact: Artifact) -> GenerationConfig:
    """From the folder's layout, generation_config.json, or config.json, whichever is there first."""
    if artifact.layout is not None and artifact.layout.generation:
        return GenerationConfig.from_model_config(artifact.layout.generation)
    if (artifact.folder / GENERATION_CONFIG_FILE).is_file():
        return GenerationConfig.from_pretrained(artifact.folder)
    return GenerationConfig.from_model_config(artifact.config or _of_tokenizer(artifact))


def _of_tokenizer(artifact: Artifact) -> dict[str, int]:
    """What the vocabulary says of a folder that holds no config at all: T5 begins its answers with the padding."""
    values = read_optional_json(artifact.folder / "tokenizer.json") or {}
    tokens = {token.get("content"): token.get("id") for token in values.get("added_tokens") or ()}
    padding, end = tokens.get("<pad>"), tokens.get("</s>")
    if padding is None or end is None:
        return {}
    return {"decoder_start_token_id": padding, "pad_token_id": padding, "eos_token_id": end}
