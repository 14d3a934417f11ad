"""Texts to the hidden states of the backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..batching import Rows
from .encode import CutLog, encode_rows
from .inputs import plain_texts
from .options import PipelineOptions
from .progress import Progress
from .runner import token_vectors
from .text import TextPipeline
from .tokenizer_options import with_tokenizer_options
from .windows import Window


@dataclass(frozen=True)
class FeatureExtractionOptions(PipelineOptions):
    """Options of feature extraction.

    Args:
        return_tensors: give arrays in place of nested lists; any true value, such as ``"np"``.
        tokenize_kwargs: ``truncation``, ``max_length`` and ``padding`` by another way, as in transformers.
    """

    return_tensors: bool | str = False
    tokenize_kwargs: dict[str, Any] | None = None


class FeatureExtractionPipeline(TextPipeline[FeatureExtractionOptions, Rows]):
    """Hidden states of every token.

    A text gives a nested list [1][sequence][hidden] of floats, special tokens included; with
    ``return_tensors=True`` an array (1, sequence, hidden) float32. Source of the format:
    ``FeatureExtractionPipeline`` of transformers 5.23.
    """

    model_task = "feature-extraction"
    options_type = FeatureExtractionOptions
    output_names = ("last_hidden_state", "token_embeddings")
    # Nested lists of floats are large: 2,000 texts of MiniLM take over a gigabyte.
    window_size = 256

    def prepare(self, window: Window, options: FeatureExtractionOptions, cuts: CutLog) -> Rows:
        """Tokenize the texts of a window."""
        options = with_tokenizer_options(options, options.tokenize_kwargs, "tokenize_kwargs")
        texts = plain_texts(window.items, window.name)
        return encode_rows(self.tokenizer, texts, self.policy(options), cuts, window.name)

    def complete(self, prepared: Rows, options: FeatureExtractionOptions, progress: Progress) -> Sequence[Any]:
        """Hidden states of each text."""
        states = token_vectors(self.runner.run(prepared, options, progress), len(prepared))
        if options.return_tensors:
            return [state[None] for state in states]  # (1, sequence, hidden)
        return [[state.tolist()] for state in states]
