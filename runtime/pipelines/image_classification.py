"""Images to labels with scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..configuration import Config
from .encode import CutLog
from .feature_batches import Row
from .image import ImagePipeline, ImagePipelineOptions
from .media_classification import MediaClassificationOptions, labels_of
from .progress import Progress
from .windows import Window


@dataclass(frozen=True)
class ImageClassificationOptions(ImagePipelineOptions, MediaClassificationOptions):
    """Options of image classification: those of images, and of classification."""


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
        function = score_function(self.model.config)
        return labels_of(self.model, prepared, [self.output_name], options, function, progress)


def score_function(config: Config) -> str:
    """The function that a config calls for.

    Source: ``ImageClassificationPipeline.postprocess`` of transformers 5.23.
    """
    problem_type = config.get("problem_type")
    if problem_type == "regression":
        return "none"
    return "sigmoid" if problem_type == "multi_label_classification" or config.num_labels == 1 else "softmax"
