"""AutoProcessor: what a checkpoint's inputs are made with, whatever they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .audio.processor import SpeechProcessor
from .hub import resolve_folder
from .images.files import has_image_processor, takes_images_alone
from .images.processor import AutoImageProcessor, ImageProcessor
from .images.text_processor import ImageTextProcessor

_PATTERNS = ("*.json", "*.txt", "*.model", "*.jinja")


class AutoProcessor:
    """``AutoProcessor.from_pretrained(name)`` as in transformers."""

    @staticmethod
    def from_pretrained(
        name_or_path: str | Path, **hub_options: Any
    ) -> ImageProcessor | ImageTextProcessor | SpeechProcessor:
        """What prepares the inputs of a folder's or hub id's model.

        An :class:`~headway.runtime.images.text_processor.ImageTextProcessor` for images and texts, an
        :class:`~headway.runtime.images.processor.ImageProcessor` for images alone, and a
        :class:`~headway.runtime.audio.processor.SpeechProcessor` for audio.

        Args:
            name_or_path: a folder or a hub id.
            hub_options: ``subfolder``, ``revision``, ``cache_dir``, ``local_files_only``, ``token``.

        Raises:
            ArtifactNotFoundError, CorruptArtifactError, UnsupportedFormatError: a part cannot be loaded.
        """
        folder = resolve_folder(name_or_path, allow_patterns=_PATTERNS, **hub_options)
        if takes_images_alone(folder):
            return AutoImageProcessor.from_pretrained(folder)
        if has_image_processor(folder):
            return ImageTextProcessor.from_pretrained(folder)
        return SpeechProcessor.from_pretrained(folder)
