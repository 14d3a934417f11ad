"""Processors of models that read images and texts, such as CLIP: an image processor and a tokenizer under one name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from ..batch_feature import BatchFeature
from ..errors import InputError
from ..hub import resolve_folder
from ..tokenization.tokenizer import AutoTokenizer, Tokenizer
from .files import processor_class_of
from .options import ImageOptions
from .processor import AutoImageProcessor, ImageProcessor

_PADDED_TO_64 = {"padding": "max_length", "max_length": 64}
TEXT_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "AlignProcessor": _PADDED_TO_64,
    "BlipProcessor": {"return_token_type_ids": False},
    "Siglip2Processor": {**_PADDED_TO_64, "truncation": True},
    "Tipsv2Processor": {**_PADDED_TO_64, "truncation": True},
}
"""Class of transformers → options that its tokenizer gets where a call does not say.

Source: ``text_kwargs`` of ``models/*/processing_*.py`` of transformers 5.23.
"""


class ImageTextProcessor:
    """What a model of images and texts needs beside its graph, called as transformers' processors are.

    Args:
        image_processor: images to inputs.
        tokenizer: texts to inputs.
        text_defaults: options of the tokenizer where a call does not say.
    """

    def __init__(
        self,
        image_processor: ImageProcessor,
        tokenizer: Tokenizer,
        text_defaults: Mapping[str, Any] | None = None,
    ) -> None:
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self._text_defaults = dict(text_defaults or {})

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **hub_options: Any) -> Self:
        """Both parts of a folder or hub id; options are those of the hub, ``revision``, ``token`` and the like.

        Raises:
            ArtifactNotFoundError, CorruptArtifactError, UnsupportedFormatError: a part cannot be loaded.
        """
        folder = resolve_folder(name_or_path, allow_patterns=["*.json", "*.txt", "*.model", "*.jinja"], **hub_options)
        defaults = TEXT_DEFAULTS.get(str(processor_class_of(folder)))
        return cls(AutoImageProcessor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder), defaults)

    def __call__(
        self, images: Any = None, text: Any = None, *, return_tensors: str | None = None, **options: Any
    ) -> BatchFeature:
        """Inputs of a model for images, texts, or both.

        Args:
            images: see :class:`~headway.runtime.images.processor.ImageProcessor`.
            text: a text or a list of texts.
            return_tensors: ``"np"`` for arrays, None for lists.
            options: of the image processor where it has one of the name, else of the tokenizer; ``images_kwargs`` and
                ``text_kwargs`` are dicts of options for one of them.

        Raises:
            InputError, InputTypeError: neither is given, or one cannot be used.
            OptionError: an option is not there, or a value cannot be used.
        """
        if images is None and text is None:
            raise InputError("The processor got neither images nor text; pass one of them, or both.")
        for_images, for_text = self._sorted(options)
        inputs: dict[str, Any] = {}
        if text is not None:
            inputs |= self.tokenizer(text, return_tensors=return_tensors, **for_text)
        if images is not None:
            inputs |= self.image_processor(images, return_tensors=return_tensors, **for_images)
        return BatchFeature(inputs)

    def _sorted(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Options of the image processor and of the tokenizer."""
        for_images = dict(options.get("images_kwargs") or {})
        for_text = {**self._text_defaults, **(options.get("text_kwargs") or {})}
        for name, value in options.items():
            if name in ImageOptions.__dataclass_fields__:
                for_images[name] = value
            elif name not in ("images_kwargs", "text_kwargs"):
                for_text[name] = value
        return for_images, for_text

    def decode(self, token_ids: Any, **options: Any) -> Any:
        """Text of ids; see :meth:`Tokenizer.decode`."""
        return self.tokenizer.decode(token_ids, **options)

    def batch_decode(self, sequences: Any, **options: Any) -> list[str]:
        """Texts of several sequences; see :meth:`Tokenizer.batch_decode`."""
        return self.tokenizer.batch_decode(sequences, **options)

    @property
    def model_input_names(self) -> Sequence[str]:
        """Names of the inputs it makes."""
        return [*self.tokenizer.model_input_names, *self.image_processor.model_input_names]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the files of both parts into ``folder``."""
        self.image_processor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
