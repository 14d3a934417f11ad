"""What is done to one image's pixels: resize, crop, pad, rescale, normalise. Arrays are (channels, height, width)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError
from .pillow import pillow
from .sizes import require_pixels

Array = NDArray[Any]
PerChannel = float | Sequence[float]

MAX_PIXELS = 178_956_970
"""Most pixels of an image that is resized: twice what Pillow warns of."""

RESAMPLING_NAMES = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's filters in the order of their numbers."""


def resize(image: Array, height: int, width: int, resample: int) -> Array:
    """Resize with one of Pillow's filters, in steps of 8 bits.

    Args:
        image: uint8, or other numbers: 0 to 255 if all are whole, otherwise 0 to 1.
        height, width: of the result.
        resample: the filter's number in Pillow, 0 to 5.

    Returns:
        uint8, or float32 in 0 to 1 where the image was so.

    Raises:
        InputError: the values are outside, the result would be too large, or an edge would vanish.

    Source: ``transformers.image_transforms.resize`` of 5.23.
    """
    require_pixels(height, width, MAX_PIXELS)
    is_unit = _is_unit_range(image)
    pixels = np.moveaxis(image, 0, -1)
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    pixels = (scale(pixels, 255) if is_unit else pixels).astype(np.uint8)
    resized = np.asarray(_pillow_image(pixels).resize((width, height), resample=resample))
    first = resized[None] if resized.ndim == 2 else np.moveaxis(resized, -1, 0)
    return scale(first, 1 / 255) if is_unit else first


def resize_float(image: Array, height: int, width: int, resample: int) -> Array:
    """Resize float32 pixels of any range with one of Pillow's filters, without steps of 8 bits."""
    require_pixels(height, width, MAX_PIXELS)
    channels = [
        pillow().fromarray(np.ascontiguousarray(channel, dtype=np.float32)).resize((width, height), resample=resample)
        for channel in image
    ]
    return np.stack([np.asarray(channel) for channel in channels])


def center_crop(image: Array, height: int, width: int) -> Array:
    """The middle of an image; where it is smaller, zeros around it.

    Raises:
        InputError: nothing, or more than can be held, would be left.

    Source: ``transformers.image_transforms.center_crop`` of 5.23.
    """
    require_pixels(height, width, MAX_PIXELS)
    old_height, old_width = image.shape[-2:]
    top, left = (old_height - height) // 2, (old_width - width) // 2
    if top >= 0 and left >= 0:
        return image[..., top : top + height, left : left + width]
    full_height, full_width = max(height, old_height), max(width, old_width)
    require_pixels(full_height, full_width, MAX_PIXELS)
    padded = np.zeros((*image.shape[:-2], full_height, full_width), dtype=image.dtype)
    above, before = ceil((full_height - old_height) / 2), ceil((full_width - old_width) / 2)
    padded[..., above : above + old_height, before : before + old_width] = image
    top, left = top + above, left + before
    return padded[..., max(0, top) : min(full_height, top + height), max(0, left) : min(full_width, left + width)]


def pad_bottom_right(image: Array, height: int, width: int) -> Array:
    """Zeros below and on the right, up to a size.

    Raises:
        InputError: the image is larger.
    """
    old_height, old_width = image.shape[-2:]
    if old_height > height or old_width > width:
        raise InputError(f"The image has {old_height} × {old_width} pixels, over pad_size {height} × {width}.")
    return np.pad(image, ((0, 0), (0, height - old_height), (0, width - old_width)))


def pad_around(image: Array, height: int, width: int) -> Array:
    """Zeros on all sides, up to a size; of an odd number one more below and on the right.

    Raises:
        InputError: the image is larger.
    """
    missing_rows, missing_columns = height - image.shape[-2], width - image.shape[-1]
    if missing_rows < 0 or missing_columns < 0:
        raise InputError(
            f"The image has {image.shape[-2]} × {image.shape[-1]} pixels, over the {height} × {width} it is padded to."
        )
    top, left = missing_rows // 2, missing_columns // 2
    return np.pad(image, ((0, 0), (top, missing_rows - top), (left, missing_columns - left)))


def scale(image: Array, factor: float) -> Array:
    """Pixels times a factor, computed in float64 and given in float32."""
    scaled: Array = (image.astype(np.float64) * factor).astype(np.float32)
    return scaled


def normalize(image: Array, mean: PerChannel, std: PerChannel) -> Array:
    """``(image - mean) / std`` for each channel, in float32 or the image's own float type.

    Raises:
        InputError: there are as many channels as numbers.
        OptionError: a standard deviation is zero.
    """
    pixels = image if np.issubdtype(image.dtype, np.floating) else image.astype(np.float32)
    means, deviations = _per_channel(mean, pixels, "image_mean"), _per_channel(std, pixels, "image_std")
    if not deviations.all():
        raise OptionError(f"image_std is {std}; zero cannot be divided by.")
    normalized: Array = (pixels - means) / deviations
    return normalized


def by_table(image: Array, function: Callable[[Array], Array]) -> Array:
    """What a function of single pixels makes of an image; for 8 bits it is computed once for each of the 256 values.

    Args:
        image: (channels, height, width).
        function: takes and gives (channels, …), each pixel by itself.
    """
    if image.dtype != np.uint8 or image[0].size <= 256:
        return function(image)
    values = np.broadcast_to(np.arange(256, dtype=np.uint8), (len(image), 1, 256))
    table = function(values)[:, 0]  # (channels, 256)
    result = np.empty(image.shape, dtype=table.dtype)
    for channel, pixels, row in zip(result, image, table, strict=True):
        np.take(row, pixels, out=channel, mode="clip")  # no value is out of the table
    return result


def _per_channel(value: PerChannel, image: Array, name: str) -> Array:
    numbers = list(value) if isinstance(value, Sequence) else [value] * len(image)
    if len(numbers) != len(image):
        raise InputError(
            f"The image has {_channels(len(image))} and {name} {len(numbers)} numbers. Convert it to RGB, or pass "
            "do_convert_rgb=True."
        )
    return np.array(numbers, dtype=image.dtype)[:, None, None]


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"


def _is_unit_range(image: Array) -> bool:
    """Whether pixels are fractions in 0 to 1; whole numbers in 0 to 255 are not."""
    if image.dtype == np.uint8:
        return False
    with np.errstate(invalid="ignore"):  # of infinities and what is no number there is no whole number
        is_whole = np.allclose(image, image.astype(int))
    smallest, largest = image.min(), image.max()
    if smallest >= 0 and largest <= (255 if is_whole else 1):
        return not is_whole
    allowed = "whole numbers must be 0 to 255" if is_whole else "fractions must be 0 to 1"
    raise InputError(f"The image has values of {smallest} to {largest}; {allowed}. Rescale them first.")


def _pillow_image(pixels: Array) -> Any:
    try:
        return pillow().fromarray(np.ascontiguousarray(pixels))
    except TypeError as error:
        raise InputError(f"The image has {pixels.shape[-1]} channels; 1 to 4 are needed to resize it.") from error
