"""Images as arrays with the channels first, whatever they came as."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .pillow import is_pillow_image, pillow

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger("headway")

Array = NDArray[Any]

CHANNELS_FIRST, CHANNELS_LAST = "channels_first", "channels_last"
_CHANNEL_COUNTS = (1, 3, 4)


def channels_first(image: Any, to_rgb: bool, layout: str | None) -> Array:
    """An image as (channels, height, width).

    Args:
        image: a Pillow image, or an array of three axes.
        to_rgb: make it RGB, with transparency blended onto white.
        layout: where an array has its channels; None takes the axis that looks like channels, the first if both do.

    Raises:
        InputError: no axis looks like channels, or the values cannot be blended.

    Source: ``PilBackend.process_image`` of transformers 5.23.
    """
    if is_pillow_image(image):
        pixels = np.asarray(_as_rgb(image) if to_rgb else image)
        return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    if layout is None:
        layout = infer_layout(image)
    first = np.moveaxis(image, -1, 0) if layout == CHANNELS_LAST else image
    return _array_as_rgb(first) if to_rgb else first


def infer_layout(image: Array) -> str:
    """Where an array of three axes has its channels: one, three or four of them; first, if both ends look so.

    Raises:
        InputError: no axis looks like channels.
    """
    could_be_first, could_be_last = (image.shape[axis] in _CHANNEL_COUNTS for axis in (0, -1))
    if could_be_first and could_be_last:
        logger.warning(
            "An image of shape %s could have its channels first or last; they are taken to be first. Pass "
            "input_data_format='channels_last' if they are last.",
            image.shape,
        )
    if could_be_first:
        return CHANNELS_FIRST
    if could_be_last:
        return CHANNELS_LAST
    raise InputError(
        f"The image is an array of shape {image.shape}; 1, 3 or 4 channels are needed, as its first or last axis. "
        "Pass input_data_format='channels_first' or 'channels_last' where they are others."
    )


def _as_rgb(image: Image) -> Image:
    """An RGB image, with transparency blended onto white."""
    if "A" not in image.getbands() and image.info.get("transparency") is None:
        return image.convert("RGB")
    module = pillow()
    background = module.new("RGBA", image.size, (255, 255, 255, 255))
    blended: Image = module.alpha_composite(background, image.convert("RGBA")).convert("RGB")
    return blended


def _array_as_rgb(image: Array) -> Array:
    """(3, height, width) of (channels, height, width): one channel is repeated, a fourth is transparency."""
    if image.shape[0] == 1:
        return np.repeat(image, 3, axis=0)
    if image.shape[0] != 4:
        return image
    is_integer = np.issubdtype(image.dtype, np.integer)
    if not is_integer and (image.min() < 0 or image.max() > 1):
        raise InputError(
            f"The image has transparency and values of {image.min():g} to {image.max():g}; floats must be 0 to 1."
        )
    white = 255 if is_integer else 1.0
    alpha = image[3:] / white
    blended = alpha * image[:3] + (1 - alpha) * white
    return (np.round(blended) if is_integer else blended).astype(image.dtype)
