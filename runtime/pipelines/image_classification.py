"""Images to labels with scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..batching import require_limit
from ..configuration import Config
from ..errors import OptionError
from .encode import CutLog
from .feature_batches import Row, in_order, run_rows
from .image import ImagePipeline, ImagePipelineOptions
from .progress import Progress
from .text_classification import SCORE_FUNCTIONS, labelled
from .windows import Window

_DEFAULT_TOP_K = 5


@dataclass(frozen=True)
class ImageClassificationOptions(ImagePipelineOptions):
    """Options of image classification.

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


class ImageClassificationPipeline(ImagePipeline[ImageClassificationOptions, list[Row]]):
    """Labels of an image: ``[{"label", "score"}]``, best first; a list of images gives a list of them.

    Source of the format: ``ImageClassificationPipeline`` of transformers 5.23.
    """

    model_task = "image-classification"
    options_type = ImageClassificationOptions

    def __call__(self, inputs: Any = None, **options: Any) -> Any:
        """Classify an image, or each one of a list or iterable; ``images=`` is another name for them."""
        return super().__call__(options.pop("images", inputs), **options)

    def prepare(self, window: Window, options: ImageClassificationOptions, cuts: CutLog) -> list[Row]:
        """Load and prepare the images of a window."""
        return self.image_rows(window, options)

    def complete(self, prepared: list[Row], options: ImageClassificationOptions, progress: Progress) -> Sequence[Any]:
        """Labels and scores of each image."""
        batches = run_rows(self.model, prepared, [self.output_name], options.batch_size, progress)
        logits = np.stack(in_order(batches, len(prepared)))  # (images, labels)
        function = options.function_to_apply or score_function(self.model.config)
        return labelled(SCORE_FUNCTIONS[function.lower()](logits), self.model.config.id2label, options.top_k)


def score_function(config: Config) -> str:
    """The function that a config calls for.

    Source: ``ImageClassificationPipeline.postprocess`` of transformers 5.23.
    """
    problem_type = config.get("problem_type")
    if problem_type == "regression":
        return "none"
    return "sigmoid" if problem_type == "multi_label_classification" or config.num_labels == 1 else "softmax"
