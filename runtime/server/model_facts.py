"""What has to be known of a loaded model to check requests and describe it; it travels between processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..artifact import TensorSpec
from ..generation.causal_lm import AutoModelForCausalLM
from ..generation.config import GenerationConfig
from ..model import Model
from ..sentence_transformers import EmbeddingRecipe


@dataclass(frozen=True)
class ModelFacts:
    """A loaded model, described.

    Args:
        tasks: what it can be asked for.
        max_length: longest text in tokens, or None.
        dtype: precision that is loaded.
        config: the checkpoint's.
        inputs: tensors that the graph takes.
        outputs: tensors that the graph gives.
        vocab_size: scores of a step of generation; 0 where it does not generate.
        generation_config: the model's own defaults, where it generates.
        recipe: how texts become vectors, where they do.
    """

    tasks: tuple[str, ...]
    max_length: int | None
    dtype: str
    config: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    vocab_size: int = 0
    generation_config: GenerationConfig | None = None
    recipe: EmbeddingRecipe | None = None

    @classmethod
    def of(cls, model: Model, tasks: tuple[str, ...], recipe: EmbeddingRecipe | None) -> ModelFacts:
        """The facts of a model.

        Args:
            model: the loaded head.
            tasks: what it can be asked for.
            recipe: of its embeddings, or None.
        """
        decoder = model if isinstance(model, AutoModelForCausalLM) else None
        return cls(
            tasks,
            model.max_length,
            model.dtype,
            model.config,
            tuple(model.session.inputs),
            tuple(model.session.outputs),
            0 if decoder is None else decoder.decoder.vocab_size,
            None if decoder is None else decoder.generation_config,
            recipe,
        )
