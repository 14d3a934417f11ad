"""Texts and pairs of texts to labels with scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batching import Rows
from ..configuration import Config
from ..errors import OptionError
from ..numerics import FloatArray, sigmoid, softmax
from .encode import CutLog, encode_rows
from .inputs import is_pair, texts_and_pairs
from .options import PipelineOptions
from .progress import Progress
from .runner import vectors
from .text import TextPipeline
from .windows import Window

SCORE_FUNCTIONS: Mapping[str, Callable[[NDArray[Any]], FloatArray]] = {
    "sigmoid": sigmoid,
    "softmax": softmax,
    "none": lambda logits: logits,
}
"""What turns logits (rows, labels) into scores."""

_BY_PROBLEM_TYPE: Mapping[str, str] = {
    "regression": "none",
    "multi_label_classification": "sigmoid",
    "single_label_classification": "softmax",
}

BEST_LABEL = "best"
"""Value of ``top_k`` where none was given: the best label alone, not in a list."""


@dataclass(frozen=True)
class TextClassificationOptions(PipelineOptions):
    """Options of text classification.

    Args:
        top_k: how many labels to give, best first; None gives all.
        function_to_apply: ``"sigmoid"``, ``"softmax"`` or ``"none"``; None takes what the config calls for.
    """

    top_k: int | str | None = BEST_LABEL
    function_to_apply: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_top_k(self.top_k)
        if self.function_to_apply is not None and str(self.function_to_apply).lower() not in SCORE_FUNCTIONS:
            raise OptionError(
                f"function_to_apply is {self.function_to_apply!r}; allowed are {', '.join(SCORE_FUNCTIONS)}, or None."
            )


class TextClassificationPipeline(TextPipeline[TextClassificationOptions, Rows]):
    """Labels of a text, or of a pair of texts.

    A text gives ``[{"label", "score"}]``, a pair ``{"label", "score"}``, a list one ``{"label", "score"}`` for each.
    With ``top_k`` each result is a list of them, best first. Source of the format: ``TextClassificationPipeline`` of
    transformers 5.23.
    """

    model_task = "text-classification"
    options_type = TextClassificationOptions
    accepted = "a text (str) or a pair {'text': …, 'text_pair': …}"

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Classify a text, a pair (``{"text", "text_pair"}`` or a tuple), or a list or iterable of either."""
        result = super().__call__(inputs, **options)
        # transformers wraps the result of one text, unless the call says how many labels it wants.
        return [result] if isinstance(inputs, str) and "top_k" not in options else result

    def is_item(self, inputs: Any) -> bool:
        """Whether ``inputs`` is one text or pair."""
        return super().is_item(inputs) or is_pair(inputs)

    def prepare(self, window: Window, options: TextClassificationOptions, cuts: CutLog) -> Rows:
        """Tokenize the texts and pairs of a window."""
        texts = texts_and_pairs(window.items, window.name)
        return encode_rows(self.tokenizer, texts, self.policy(options), cuts, window.name)

    def complete(self, prepared: Rows, options: TextClassificationOptions, progress: Progress) -> Sequence[Any]:
        """Labels and scores of each row."""
        logits = vectors(self.runner.run(prepared, options, progress), len(prepared))  # (rows, labels)
        function = options.function_to_apply or score_function(self.model.config)
        return labelled(SCORE_FUNCTIONS[function.lower()](logits), self.labels, options.top_k)

    @property
    def labels(self) -> Mapping[int, str]:
        """Class index → label."""
        return self.model.config.id2label


def score_function(config: Config) -> str:
    """The function that a config calls for: by its problem type, else by its number of labels."""
    by_type = _BY_PROBLEM_TYPE.get(str(config.get("problem_type")))
    if by_type is not None:
        return by_type
    return "sigmoid" if config.num_labels == 1 else "softmax"


def labelled(scores: NDArray[Any], labels: Mapping[int, str], top_k: int | str | None) -> list[Any]:
    """Labels and scores of each row.

    Args:
        scores: (rows, labels) float.
        labels: class index → label.
        top_k: how many labels of each row, best first; None for all, :data:`BEST_LABEL` for the best, not in a list.
    """
    if top_k == BEST_LABEL:
        best = scores.argmax(axis=-1)
        values = scores.max(axis=-1).tolist()
        return [{"label": labels[index], "score": score} for index, score in zip(best.tolist(), values, strict=True)]
    # Stable, so that equal scores keep the order of the labels.
    order = np.argsort(-scores, axis=-1, kind="stable")[:, :top_k]
    values = np.take_along_axis(scores, order, axis=-1).tolist()
    return [
        [{"label": labels[index], "score": score} for index, score in zip(indices, row, strict=True)]
        for indices, row in zip(order.tolist(), values, strict=True)
    ]


def require_top_k(top_k: Any) -> None:
    """Raise OptionError unless ``top_k`` is a count of at least one, None, or :data:`BEST_LABEL`."""
    if top_k is None or top_k == BEST_LABEL:
        return
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        raise OptionError(f"top_k is {top_k!r}; it must be a whole number of at least 1, or None for all labels.")
