"""What pipelines over texts share: a tokenizer, a limit in tokens, and rows of ids through the graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from ..models import Model
from ..tokenization.tokenizer import AutoTokenizer, Tokenizer
from .base import Options, Parts, Pipeline, Prepared
from .encode import LengthPolicy
from .options import PipelineOptions
from .parts import loaded_part
from .runner import Runner

# Above this a tokenizer's limit stands for "none".
_LARGEST_REAL_LIMIT = 10**20


class TextPipeline(Pipeline[Options, Prepared]):
    """Text in, results out: tokenize, batch, run, decode.

    Args:
        model: the loaded head.
        tokenizer: the tokenizer that belongs to it.
        task: the name the pipeline was asked for by.
        options: options for every call; a call may override them.
    """

    options_type: ClassVar[type[PipelineOptions]] = PipelineOptions
    output_names: ClassVar[tuple[str, ...] | None] = ("logits",)
    """Outputs of the graph that the head reads."""
    default_truncation: ClassVar[str] = "error"

    def __init__(self, model: Model, tokenizer: Tokenizer, task: str, options: Mapping[str, Any]) -> None:
        super().__init__(model, task, options)
        self.tokenizer = tokenizer
        self.limit = length_limit(model, tokenizer)
        self.pad_token_id = pad_token_id(model, tokenizer)
        self.prepare_model()

    @classmethod
    def build(cls, model: Model, parts: Parts, task: str, options: Mapping[str, Any]) -> Self:
        """A pipeline with the tokenizer that was given, or else the model's own."""
        return cls(model, load_tokenizer(parts.tokenizer, model), task, options)

    def prepare_model(self) -> None:
        """Check that the graph takes what a tokenizer gives; pipelines over ``generate()`` have their own way."""
        self.runner = Runner(self.model, self.pad_token_id, self.output_names)
        self.limit = self.runner.limited(self.limit)

    def policy(self, options: PipelineOptions, strategy: str = "longest_first") -> LengthPolicy:
        """What happens to texts over the limit under these options."""
        return LengthPolicy.resolve(
            self.limit, options.truncation, options.max_length, self.default_truncation, strategy
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Copy model and tokenizer into ``folder``, so that a pipeline loads from there."""
        super().save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def load_tokenizer(given: str | Path | Tokenizer | None, model: Model) -> Tokenizer:
    """The tokenizer that was given, or else the model's own; see :func:`.parts.loaded_part`."""
    return loaded_part("tokenizer", given, Tokenizer, AutoTokenizer, model)


def length_limit(model: Model, tokenizer: Tokenizer) -> int | None:
    """Most tokens a model takes, special tokens counted: the smaller of its own and its tokenizer's limit."""
    limits = [model.max_length]
    if tokenizer.model_max_length and tokenizer.model_max_length < _LARGEST_REAL_LIMIT:
        limits.append(tokenizer.model_max_length)
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def pad_token_id(model: Model, tokenizer: Tokenizer) -> int | None:
    """Id that fills rows up: the tokenizer's, or else the one the config names."""
    if tokenizer.pad_token_id is not None:
        return tokenizer.pad_token_id
    configured = model.config.get("pad_token_id")
    return configured if isinstance(configured, int) and configured >= 0 else None
