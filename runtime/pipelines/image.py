"""What pipelines over images share: an image processor, and images from wherever they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from ..errors import CorruptArtifactError, InputError, InputTypeError, OptionError
from ..images.loading import is_image_source, load_image
from ..images.processor import AutoImageProcessor, ImageProcessor
from ..models import Model
from .base import Options, Parts, Pipeline, Prepared
from .feature_batches import Row
from .inputs import describe, require_keys
from .options import CommonOptions, require_flag
from .parts import loaded_part
from .windows import Window


@dataclass(frozen=True)
class ImagePipelineOptions(CommonOptions):
    """Options that every pipeline over images takes.

    Args:
        batch_size: most images that run at once; None takes what suits the device.
        allow_urls: fetch images from http and https addresses. Off unless asked: whoever chooses the address decides
            what this machine fetches.
        timeout: seconds that fetching an image may take; None takes 20.
        show_progress: a bar on stderr; None shows one on a terminal for work over a second.
    """

    allow_urls: bool = False
    timeout: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_flag("allow_urls", self.allow_urls)
        if self.timeout is not None and (isinstance(self.timeout, bool) or not self.timeout > 0):
            raise OptionError(f"timeout is {self.timeout!r}; a number of seconds above zero is needed, or None.")


class ImagePipeline(Pipeline[Options, Prepared]):
    """Images in, results out: load, prepare, batch, run, decode.

    An image is a path, the bytes of a file, a data URL, a PIL image, an array (height, width, channels) or (channels,
    height, width), with ``allow_urls`` an address, or a dict with one of these as ``"image"``.

    Args:
        model: the loaded head.
        image_processor: the image processor that belongs to it.
        task: the name the pipeline was asked for by.
        options: options for every call; a call may override them.
    """

    options_type: ClassVar[type[ImagePipelineOptions]] = ImagePipelineOptions
    output_names: ClassVar[tuple[str, ...]] = ("logits",)
    """Outputs of the graph that the head reads; the first one there is."""
    accepted = "an image (a path, bytes, a data URL, a PIL image or an array)"
    item_unit = "image"
    # As many decoded images are in memory twice: while one window runs the next is prepared.
    window_size = 16

    def __init__(self, model: Model, image_processor: ImageProcessor, task: str, options: Mapping[str, Any]) -> None:
        super().__init__(model, task, options)
        self.image_processor = image_processor
        self.output_name = require_output(model, self.output_names)

    @classmethod
    def build(cls, model: Model, parts: Parts, task: str, options: Mapping[str, Any]) -> Self:
        """A pipeline with the image processor that was given, or else the model's own."""
        return cls(model, load_image_processor(parts.image_processor, model), task, options)

    def is_item(self, inputs: Any) -> bool:
        """Whether ``inputs`` is one image, not several."""
        is_array = isinstance(inputs, np.ndarray) and inputs.ndim < 4
        return is_array or isinstance(inputs, dict) or is_image_source(inputs)

    def image_rows(self, window: Window, options: ImagePipelineOptions, **processing: Any) -> list[Row]:
        """The graph's inputs for each image of a window.

        Raises:
            InputError, InputTypeError: an image cannot be used; the message names it.
        """
        return [
            self._image_row(item, options, window.name(index), processing) for index, item in enumerate(window.items)
        ]

    def _image_row(self, item: Any, options: ImagePipelineOptions, name: str, processing: Mapping[str, Any]) -> Row:
        image = require_keys(item, ("image",), self.item_keys, name)["image"] if isinstance(item, dict) else item
        if not isinstance(image, np.ndarray):
            if not is_image_source(image):
                raise InputTypeError(f"{name} is {describe(image)}; {self.accepted} is needed.")
            image = load_image(image, allow_urls=options.allow_urls, timeout=options.timeout, name=name)
        try:
            features = self.image_processor(image, **processing)
        except InputError as error:
            raise type(error)(f"{name}: {error}") from error
        return {key: np.asarray(values[0]) for key, values in features.items()}

    item_keys: ClassVar[Sequence[str]] = ()
    """Keys of an item that is a dict, beside ``"image"``."""

    def save_pretrained(self, folder: str | Path) -> None:
        """Copy model and image processor into ``folder``, so that a pipeline loads from there."""
        super().save_pretrained(folder)
        self.image_processor.save_pretrained(folder)


def load_image_processor(given: str | Path | ImageProcessor | None, model: Model) -> ImageProcessor:
    """The image processor that was given, or else the model's own; see :func:`.parts.loaded_part`."""
    return loaded_part("image_processor", given, ImageProcessor, AutoImageProcessor, model)


def require_output(model: Model, wanted: Sequence[str]) -> str:
    """The first wanted output that the graph has; one output alone needs no particular name.

    Raises:
        CorruptArtifactError: the graph has none of them.
    """
    declared = model.session.output_names
    if len(declared) == 1:
        return declared[0]
    present = [name for name in wanted if name in declared]
    if not present:
        raise CorruptArtifactError(
            f"{model.session.path} has the outputs {', '.join(declared)}; {' or '.join(wanted)} is needed."
        )
    return present[0]
