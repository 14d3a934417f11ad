"""What a caller may pass as images: one, several, nested, in one array, as files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, InputTypeError
from .loading import is_image_source, load_image
from .pillow import is_pillow_image

_ARRAYS = "an array (height, width, channels) or (channels, height, width)"


def flat_images(images: Any) -> list[Any]:
    """The images one by one, each a Pillow image or an array of three axes.

    Args:
        images: an image, a list of images, a list of lists of them, or an array of four axes; an image is a Pillow
            image, an array, or what :func:`~headway.runtime.images.loading.load_image` takes.

    Raises:
        InputError, InputTypeError: something is no image; the message says which.

    Source: ``make_flat_list_of_images`` of transformers 5.23.
    """
    if isinstance(images, list | tuple):
        several = len(images) > 1 or any(isinstance(image, list | tuple) for image in images)
        return [
            image
            for index, value in enumerate(images)
            for image in _images_of(value, f"Image {index}" if several else "The image")
        ]
    return _images_of(images, "The image")


def _images_of(value: Any, name: str) -> list[Any]:
    if isinstance(value, list | tuple):
        return [image for inner in value for image in _images_of(inner, name)]
    if is_pillow_image(value):
        _require_pixels(value.size, name)
        return [value]
    if isinstance(value, np.ndarray):
        return _split(value, name)
    if is_image_source(value):
        return [load_image(value, name=name)]
    if hasattr(value, "__array__"):
        return _split(np.asarray(value), name)
    raise InputTypeError(
        f"{name} is a {type(value).__name__}; a path, bytes, a data URL, a PIL image, or {_ARRAYS} is needed."
    )


def _split(array: NDArray[Any], name: str) -> list[NDArray[Any]]:
    """An array of three axes, or each one of an array of four."""
    if array.dtype.kind not in "biuf":
        raise InputTypeError(f"{name} is an array of {array.dtype}; numbers are needed.")
    if array.ndim not in (3, 4):
        raise InputError(f"{name} is an array of shape {array.shape}; {_ARRAYS}, or several in one array is needed.")
    _require_pixels(array.shape, name)
    return [array] if array.ndim == 3 else list(array)


def _require_pixels(shape: tuple[int, ...], name: str) -> None:
    if 0 in shape:
        raise InputError(f"{name} has the shape {shape} and so no pixels; at least one is needed.")
