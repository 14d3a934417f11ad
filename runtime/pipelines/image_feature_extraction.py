"""Images to the hidden states of the backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputTypeError, OptionError
from .encode import CutLog
from .feature_batches import Row, in_order, run_rows
from .image import ImagePipeline, ImagePipelineOptions
from .inputs import describe
from .options import require_flag
from .progress import Progress
from .windows import Window

_POOLED = "pooler_output"


@dataclass(frozen=True)
class ImageFeatureOptions(ImagePipelineOptions):
    """Options of image feature extraction.

    Args:
        pool: give the pooled output, one vector for each image.
        return_tensors: give arrays in place of nested lists; any true value, such as ``"np"``.
        image_processor_kwargs: options of the image processor, such as ``{"size": {"height": 100, "width": 100}}``.
    """

    pool: bool | None = None
    return_tensors: bool | str = False
    image_processor_kwargs: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pool is not None:
            require_flag("pool", self.pool)
        if self.image_processor_kwargs is not None and not isinstance(self.image_processor_kwargs, Mapping):
            raise InputTypeError(
                f"image_processor_kwargs is {describe(self.image_processor_kwargs)}; a dict is needed."
            )


class ImageFeatureExtractionPipeline(ImagePipeline[ImageFeatureOptions, list[Row]]):
    """Hidden states of an image: a nested list [1][sequence][hidden] of floats, or [1][hidden] with ``pool``.

    With ``return_tensors=True`` arrays float32. Source of the format: ``ImageFeatureExtractionPipeline`` of
    transformers 5.23.
    """

    model_task = "feature-extraction"
    options_type = ImageFeatureOptions
    output_names = ("last_hidden_state", "image_embeds")

    def prepare(self, window: Window, options: ImageFeatureOptions, cuts: CutLog) -> list[Row]:
        """Load and prepare the images of a window."""
        return self.image_rows(window, options, **(options.image_processor_kwargs or {}))

    def complete(self, prepared: list[Row], options: ImageFeatureOptions, progress: Progress) -> Sequence[Any]:
        """Features of each image."""
        name = self._pooled_name() if options.pool else self.output_name
        batches = run_rows(self.model, prepared, [name], options.batch_size, progress)
        features = in_order(batches, len(prepared))
        return [values[None] if options.return_tensors else [values.tolist()] for values in features]

    def _pooled_name(self) -> str:
        if _POOLED not in self.model.session.output_names:
            raise OptionError(
                f"pool needs the output {_POOLED}, which this model has not; it has"
                f" {', '.join(self.model.session.output_names)}. Leave pool away."
            )
        return _POOLED
