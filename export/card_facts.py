"""What a model card is written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import huggingface_hub

from headway.runtime.artifact import Component, Manifest, TensorSpec, Variant, read_json
from headway.runtime.sentence_transformers import EmbeddingRecipe, read_recipe

from .fusions.base import CONTRIB_WITHOUT_DOMAIN
from .genai import GENAI_FILE

CARD = "README.md"


@dataclass(frozen=True)
class CardFacts:
    """An artifact whose card is to be written.

    Args:
        name: of its folder, once it is in its place.
        folder: where it lies now; all but the card is there.
        manifest: its manifest.
        checkpoint_card: front matter of the checkpoint's own card, empty where it has none.
    """

    name: str
    folder: Path
    manifest: Manifest
    checkpoint_card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dtype(self) -> str:
        """The precision that examples load: fp32, or the first there is."""
        variants = self.manifest.variants
        return "fp32" if "fp32" in variants else next(iter(variants))

    @property
    def variant(self) -> Variant:
        """What is written in it."""
        return self.manifest.variants[self.dtype]

    @property
    def component(self) -> Component | None:
        """The only graph; None of an encoder-decoder."""
        return self.variant.components.get("model")

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Inputs of the only graph."""
        return {spec.name: spec for spec in self.component.inputs} if self.component else {}

    @property
    def takes_text(self) -> bool:
        """Whether a tokenizer came along."""
        return self.has("tokenizer.json")

    @property
    def is_embedder(self) -> bool:
        """Whether sentence-transformers' files say how vectors are made."""
        return self.has("modules.json") and self.manifest.task == "feature-extraction" and self.takes_text

    @property
    def task(self) -> str:
        """What people call it for."""
        return "sentence-similarity" if self.is_embedder else self.manifest.task

    @property
    def has_genai(self) -> bool:
        """Whether onnxruntime-genai opens it."""
        return self.has(GENAI_FILE)

    @property
    def contrib_operators(self) -> list[str]:
        """Operators that only ONNX Runtime has."""
        parts = [component for variant in self.manifest.variants.values() for component in variant.components.values()]
        names = {name for component in parts for name in component.operators}
        return sorted(name for name in names if "." in name or name == CONTRIB_WITHOUT_DOMAIN)

    @cached_property
    def recipe(self) -> EmbeddingRecipe:
        """How an embedder makes vectors."""
        return read_recipe(self.folder)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The model's config.json."""
        return read_json(self.folder / "config.json")

    def has(self, file: str) -> bool:
        """Whether a file is in the folder."""
        return (self.folder / file).is_file()


def card_of(checkpoint_folder: Path | None) -> Mapping[str, Any]:
    """Front matter of a checkpoint's card; empty where there is none that can be read."""
    card = checkpoint_folder / CARD if checkpoint_folder else None
    if card is None or not card.is_file():
        return {}
    try:
        return huggingface_hub.metadata_load(card) or {}
    except Exception:
        # Whatever is wrong with somebody's YAML is no reason to refuse the model.
        return {}
