"""What classification of images and of audio shares: options, and labels from prepared rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..batching import require_limit
from ..errors import OptionError
from ..models import Model
from .feature_batches import Row, in_order, run_rows
from .options import CommonOptions
from .progress import Progress
from .text_classification import SCORE_FUNCTIONS, labelled

_DEFAULT_TOP_K = 5


@dataclass(frozen=True)
class MediaClassificationOptions(CommonOptions):
    """Options of image and audio classification.

    Args:
        top_k: how many labels to give, best first; None gives all.
        function_to_apply: ``"sigmoid"``, ``"softmax"`` or ``"none"``; None takes what the config calls for.
    """

    top_k: int | None = _DEFAULT_TOP_K
    function_to_apply: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_limit("top_k", self.top_k)
        if self.function_to_apply is not None and str(self.function_to_apply).lower() not in SCORE_FUNCTIONS:
            raise OptionError(
                f"function_to_apply is {self.function_to_apply!r}; allowed are {', '.join(SCORE_FUNCTIONS)}, or None."
            )


def labels_of(
    model: Model,
    rows: Sequence[Row],
    output_names: Sequence[str] | None,
    options: MediaClassificationOptions,
    score_function: str,
    progress: Progress,
) -> Sequence[Any]:
    """Labels and scores of each row.

    Args:
        output_names: the output that holds the logits (batch, labels), first; None where the graph has but one.
        score_function: what the config calls for.
    """
    batches = run_rows(model, rows, output_names, options.batch_size, progress)
    logits = np.stack(in_order(batches, len(rows)))  # (rows, labels)
    function = options.function_to_apply or score_function
    return labelled(SCORE_FUNCTIONS[function.lower()](logits), model.config.id2label, options.top_k)
