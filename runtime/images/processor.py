"""Image processors: images to what a model takes, as transformers' own make it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from ..batch_feature import BatchFeature, require_array_type, stacked
from ..errors import CorruptArtifactError, InputError, OptionError
from .channels import channels_first
from .files import PROCESSOR_FILE, find_kind, read_config
from .inputs import flat_images
from .kinds import KINDS
from .options import ImageOptions
from .transforms import Array


class ImageProcessor:
    """Turns images into a model's inputs.

    Call it as in transformers: ``processor(images, return_tensors="np")``; options may be overridden at each call.
    Several threads may call one processor.

    Args:
        kind: transformers' class, such as ``"ViTImageProcessor"``.
        options: values that differ from the class's defaults, as preprocessor_config.json has them.

    Raises:
        OptionError: the class is not known here, or a value cannot be used.

    >>> import numpy as np
    >>> processor = ImageProcessor("ViTImageProcessor", {"size": 4})
    >>> processor(np.zeros((8, 6, 3), dtype=np.uint8), return_tensors="np").pixel_values.shape
    (1, 3, 4, 4)
    """

    def __init__(self, kind: str, options: Mapping[str, Any] | None = None) -> None:
        if kind not in KINDS:
            raise OptionError(f"There is no image processor {kind!r}; there are {', '.join(KINDS)}.")
        self.kind = kind
        self._kind = KINDS[kind]
        self.options = ImageOptions().overridden(self._kind.defaults)
        if options:
            self.options = self._chosen(options)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **options: Any) -> Self:
        """The image processor of a folder or hub id.

        Args:
            name_or_path: a folder, a hub id, or a preprocessor_config.json.
            options: ``subfolder``, ``revision``, ``cache_dir``, ``local_files_only`` and ``token`` for the hub; any
                other sets an option of the processor.

        Raises:
            ArtifactNotFoundError: there is no such folder, or no preprocessor_config.json in it.
            CorruptArtifactError: the file cannot be read, or holds a value that cannot be used.
            UnsupportedFormatError: it names a class that is not known here.
            OptionError: one of ``options`` cannot be used.
        """
        config, origin, overrides = read_config(name_or_path, options)
        kind = find_kind(config, origin)
        return cls._from_config(kind, config, origin).overridden(overrides)

    @classmethod
    def _from_config(cls, kind: str, config: Mapping[str, Any], origin: str) -> Self:
        known = ImageOptions.__dataclass_fields__
        values = {name: value for name, value in config.items() if name in known}
        try:
            return cls(kind, values)
        except OptionError as error:
            raise CorruptArtifactError(f"{origin}: {error}") from error

    def overridden(self, options: Mapping[str, Any]) -> Self:
        """A processor with other values of some options.

        Raises:
            OptionError: an option is not there, or a value cannot be used.
        """
        other = type(self)(self.kind)
        other.options = self._chosen(options)
        return other

    def __call__(self, images: Any, *, return_tensors: str | None = None, **options: Any) -> BatchFeature:
        """Inputs of a model for one or several images.

        Args:
            images: an image, a list of images, or an array of four axes. An image is a path, the bytes of a file, a
                data URL, a PIL image, or an array (height, width, channels) or (channels, height, width) of whole
                numbers in 0 to 255 or fractions in 0 to 1.
            return_tensors: ``"np"`` for arrays (images, …), None for lists of arrays.
            options: options that this call overrides, see :class:`~headway.runtime.images.options.ImageOptions`.

        Returns:
            Mostly ``pixel_values`` (images, channels, height, width) float32.

        Raises:
            InputError, InputTypeError: an image cannot be used.
            OptionError: an option is not there, or a value cannot be used.
        """
        require_array_type(return_tensors)
        chosen = self._chosen(options) if options else self.options
        rows = [self._processed(image, chosen) for image in flat_images(images)]
        if not rows:
            raise InputError("There are no images; at least one is needed.")
        features = self._kind.finish(rows, chosen)
        if return_tensors is None:
            return BatchFeature(features)
        return BatchFeature({name: stacked(name, values) for name, values in features.items()})

    def preprocess(self, images: Any, **options: Any) -> BatchFeature:
        """The same as a call; transformers' name for it."""
        return self(images, **options)

    def _chosen(self, options: Mapping[str, Any]) -> ImageOptions:
        """The options with some of them overridden."""
        size = options.get("size")
        if self._kind.has_reversed_sizes and isinstance(size, list | tuple):
            options = {**options, "size": size[::-1]}
        return self.options.overridden(options)

    def _processed(self, image: Any, options: ImageOptions) -> Array:
        pixels = channels_first(image, bool(options.do_convert_rgb), options.input_data_format)
        for step in self._kind.steps:
            pixels = step(pixels, options)
        return pixels

    @property
    def model_input_names(self) -> Sequence[str]:
        """Names of the inputs it makes."""
        return list(self._kind.input_names)

    def __getattr__(self, name: str) -> Any:
        options = self.__dict__.get("options")
        if options is not None and name in ImageOptions.__dataclass_fields__:
            value = getattr(options, name)
            return value.to_dict() if hasattr(value, "to_dict") else value
        raise AttributeError(f"An image processor has no {name!r}.")

    def to_dict(self) -> dict[str, Any]:
        """Its class and options, as preprocessor_config.json has them."""
        return {**self.options.to_dict(), "image_processor_type": self.kind}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write preprocessor_config.json into ``folder``, which is made if need be."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_dict(), indent=2) + "\n"
        (Path(folder) / PROCESSOR_FILE).write_text(text, encoding="utf-8")

    def __repr__(self) -> str:
        return f"{self.kind} {json.dumps(self.options.to_dict(), indent=2)}"


class AutoImageProcessor:
    """``AutoImageProcessor.from_pretrained(name)`` as in transformers."""

    @staticmethod
    def from_pretrained(name_or_path: str | Path, **options: Any) -> ImageProcessor:
        """The image processor of a folder or hub id; see :meth:`ImageProcessor.from_pretrained`."""
        return ImageProcessor.from_pretrained(name_or_path, **options)
