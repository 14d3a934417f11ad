"""Pairs of texts to whether the second follows the first."""

from __future__ import annotations

from collections.abc import Mapping

from ..batching import Rows
from ..errors import InputError
from .encode import CutLog
from .inputs import texts_and_pairs
from .text_classification import TextClassificationOptions, TextClassificationPipeline
from .windows import Window


class NextSentencePredictionPipeline(TextClassificationPipeline):
    """Whether a text follows another: ``{"label": "is_next" or "not_next", "score"}`` for each pair.

    The order of the two logits is that of BERT's pretraining: 0 means that the second text follows the first.
    """

    model_task = "next-sentence-prediction"
    accepted = "a pair {'text': …, 'text_pair': …}"

    def prepare(self, window: Window, options: TextClassificationOptions, cuts: CutLog) -> Rows:
        """Tokenize the pairs of a window."""
        for index, text in enumerate(texts_and_pairs(window.items, window.name)):
            if isinstance(text, str):
                raise InputError(f"{window.name(index)} has no second text; {self.accepted} is needed.")
        return super().prepare(window, options, cuts)

    @property
    def labels(self) -> Mapping[int, str]:
        """Class index → label."""
        return {0: "is_next", 1: "not_next"}
