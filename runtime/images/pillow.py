"""Pillow, imported when an image is first touched: it comes with the ``[vision]`` extra."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image


def pillow() -> ModuleType:
    """The module ``PIL.Image``.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    try:
        import PIL.Image
    except ImportError as error:
        raise MissingExtraError(
            "Images need Pillow, which is not installed. Install it with `pip install 'headway[vision]'`."
        ) from error
    return PIL.Image


def is_pillow_image(value: Any) -> bool:
    """Whether a value is a Pillow image; tells without importing Pillow."""
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(value).__mro__)


def upright(image: Image) -> Image:
    """The image turned as its EXIF orientation says."""
    import PIL.ImageOps

    turned: Image = PIL.ImageOps.exif_transpose(image)
    return turned
