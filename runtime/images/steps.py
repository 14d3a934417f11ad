"""The steps of image processors: each takes an image (channels, height, width) and the options, and gives an image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .options import ImageOptions, require
from .sizes import Pixels, Size, by_shortest_edge, target_pixels
from .transforms import (
    Array,
    by_table,
    center_crop,
    normalize,
    pad_around,
    resize,
    resize_float,
    scale,
)

Step = Callable[[Array, ImageOptions], Array]

_BILINEAR = 2
# ConvNeXT resizes to the whole size from here on, and crops below. Source: ConvNextImageProcessor.resize.
_UNCROPPED_EDGE = 384


def resize_to_size(image: Array, options: ImageOptions) -> Array:
    """Resize as ``size`` says."""
    if not options.do_resize:
        return image
    return _resized_to(image, _size_of(options), options)


def crop_center(image: Array, options: ImageOptions) -> Array:
    """Cut ``crop_size`` out of the middle."""
    if not options.do_center_crop:
        return image
    crop_size: Size = require(options.crop_size, "crop_size", "do_center_crop")
    return center_crop(image, *crop_size.exact("crop_size"))


def scale_and_normalize(image: Array, options: ImageOptions) -> Array:
    """Rescale and normalise."""
    return by_table(image, lambda pixels: normalized(rescaled(pixels, options), options))


def rescaled(pixels: Array, options: ImageOptions) -> Array:
    """Pixels times ``rescale_factor``."""
    if not options.do_rescale:
        return pixels
    return scale(pixels, require(options.rescale_factor, "rescale_factor", "do_rescale"))


def normalized(pixels: Array, options: ImageOptions) -> Array:
    """Pixels less ``image_mean``, over ``image_std``."""
    if not options.do_normalize:
        return pixels
    mean = require(options.image_mean, "image_mean", "do_normalize")
    return normalize(pixels, mean, require(options.image_std, "image_std", "do_normalize"))


def rescale_only(image: Array, options: ImageOptions) -> Array:
    """Rescale, and never normalise, whatever the options say (MobileViT)."""
    return by_table(image, lambda pixels: rescaled(pixels, options))


def flip_channels(image: Array, options: ImageOptions) -> Array:
    """RGB to BGR where ``do_flip_channel_order`` says so."""
    return image[::-1] if options.do_flip_channel_order else image


def always_flip_channels(image: Array, options: ImageOptions) -> Array:
    """RGB to BGR, whatever the options say (PP-LCNet)."""
    return image[::-1]


def scale_and_normalize_twice(image: Array, options: ImageOptions) -> Array:
    """Rescale with an offset, normalise, and with ``include_top`` divide by ``image_std`` again (EfficientNet)."""
    return by_table(image, lambda pixels: _efficientnet_pixels(pixels, options))


def resize_convnext(image: Array, options: ImageOptions) -> Array:
    """Below 384: resize the shortest edge to ``size / crop_pct`` and crop ``size``; otherwise stretch to a square."""
    if not options.do_resize:
        return image
    edge = _size_of(options).shortest("size")
    if edge >= _UNCROPPED_EDGE:
        return _resized_to(image, Size(height=edge, width=edge), options)
    share: float = require(options.crop_pct, "crop_pct", "a size below 384")
    resized = _resized_to(image, Size(shortest_edge=int(edge / share)), options)
    return center_crop(resized, edge, edge)


def resize_levit(image: Array, options: ImageOptions) -> Array:
    """Resize the shortest edge to 256/224 of what ``size`` says."""
    if not options.do_resize:
        return image
    size = _size_of(options)
    if size.shortest_edge is not None:
        size = Size(shortest_edge=int((256 / 224) * size.shortest_edge))
    return _resized_to(image, size, options)


def resize_poolformer(image: Array, options: ImageOptions) -> Array:
    """Resize to ``size / crop_pct``; a crop to ``crop_size`` follows."""
    if not options.do_resize:
        return image
    size, share = _size_of(options), options.crop_pct
    if share is None:
        return _resized_to(image, size, options)
    if size.shortest_edge is not None:
        return _resized_to(image, Size(shortest_edge=int(size.shortest_edge / share)), options)
    height, width = size.exact("size")
    if height == width:
        return _resized_to(image, Size(shortest_edge=int(height / share)), options)
    return _resized_to(image, Size(height=int(height / share), width=int(width / share)), options)


def resize_divisible(image: Array, options: ImageOptions) -> Array:
    """Resize the shortest edge to ``size``, with height and width rounded up to multiples of ``size_divisor``."""
    if not options.do_resize:
        return image
    divisor: int = require(options.size_divisor, "size_divisor", "this processor")
    height, width = by_shortest_edge(*edges_of(image), _size_of(options).shortest("size"))
    return _resized_to(image, Size(height=_round_up(height, divisor), width=_round_up(width, divisor)), options)


def resize_short_edge(image: Array, options: ImageOptions) -> Array:
    """Resize the shorter edge to ``resize_short``, or without it as ``size`` says (PP-LCNet)."""
    if not options.do_resize or options.resize_short is None:
        return resize_to_size(image, options)
    factor = options.resize_short / min(image.shape[-2:])
    height, width = (_round_up(round(edge * factor), options.size_divisor or 1) for edge in image.shape[-2:])
    return _resized_to(image, Size(height=height, width=width), options)


def resize_scaled(image: Array, options: ImageOptions) -> Array:
    """Rescale first and resize the fractions, without steps of 8 bits (DINOv3)."""
    pixels = rescaled(image, options)
    if not options.do_resize:
        return pixels
    target = target_pixels(*edges_of(image), _size_of(options))
    resample = _BILINEAR if options.resample is None else options.resample
    return resize_float(pixels, *target, resample)


def normalize_only(image: Array, options: ImageOptions) -> Array:
    """Normalise what was rescaled before."""
    return normalized(image, options)


def crop_perceiver(image: Array, options: ImageOptions) -> Array:
    """Cut out the middle: ``size / crop_size`` of the shorter edge."""
    if not options.do_center_crop:
        return image
    crop_size: Size = require(options.crop_size, "crop_size", "do_center_crop")
    height, width = _size_of(options).exact("size")
    crop_height, crop_width = crop_size.exact("crop_size")
    edge = min(image.shape[-2:])
    return center_crop(image, int((height / crop_height) * edge), int((width / crop_width) * edge))


def align_long_axis(image: Array, options: ImageOptions) -> Array:
    """Turn the image a quarter to the right where ``size`` is upright and the image is not, or the other way round."""
    if not options.do_align_long_axis:
        return image
    height, width = _size_of(options).exact("size")
    differs = (height - width) * (image.shape[-2] - image.shape[-1]) < 0
    return np.rot90(image, 3, axes=(1, 2)) if differs else image


def resize_donut(image: Array, options: ImageOptions) -> Array:
    """Resize the shortest edge to the shorter one of ``size``, and shrink what is over it."""
    height, width = _size_of(options).exact("size")
    if options.do_resize:
        image = _resized_to(image, Size(shortest_edge=min(height, width)), options)
    return _thumbnail(image, height, width, options) if options.do_thumbnail else image


def pad_to_size(image: Array, options: ImageOptions) -> Array:
    """Zeros around, up to ``size``."""
    return pad_around(image, *_size_of(options).exact("size")) if options.do_pad else image


def edges_of(image: Array) -> Pixels:
    """Height and width of an image."""
    height, width = image.shape[-2:]
    return height, width


def _thumbnail(image: Array, max_height: int, max_width: int, options: ImageOptions) -> Array:
    old_height, old_width = image.shape[-2:]
    height, width = min(old_height, max_height), min(old_width, max_width)
    if (height, width) == (old_height, old_width):
        return image
    if old_height > old_width:
        width = int(old_width * height / old_height)
    elif old_width > old_height:
        height = int(old_height * width / old_width)
    return _resized_to(image, Size(height=height, width=width), options)


def _efficientnet_pixels(pixels: Array, options: ImageOptions) -> Array:
    pixels = rescaled(pixels, options)
    if options.do_rescale and options.rescale_offset:
        pixels = pixels - 1
    pixels = normalized(pixels, options)
    if options.include_top:
        pixels = normalize(pixels, 0, require(options.image_std, "image_std", "include_top"))
    return pixels


def _resized_to(image: Array, size: Size, options: ImageOptions) -> Array:
    height, width = target_pixels(*edges_of(image), size)
    return resize(image, height, width, _BILINEAR if options.resample is None else options.resample)


def _size_of(options: ImageOptions) -> Size:
    size: Size = require(options.size, "size", "this processor")
    return size


def _round_up(edge: int, divisor: int) -> int:
    return -(-edge // divisor) * divisor
