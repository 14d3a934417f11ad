"""From the images of a call to the inputs of a model: pixels, patches or colors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from .options import ImageOptions, require
from .sizes import Pixels
from .transforms import Array, pad_bottom_right, resize

Finish = Callable[[Sequence[Array], ImageOptions], Mapping[str, list[Any]]]

_BILINEAR = 2
_SCALE_STEP = 1e-5
_MAX_SCALE = 100.0


def pixel_values(images: Sequence[Array], options: ImageOptions) -> Mapping[str, list[Any]]:
    """``pixel_values``, as the images are."""
    return {"pixel_values": list(images)}


def padded_pixel_values(images: Sequence[Array], options: ImageOptions) -> Mapping[str, list[Any]]:
    """``pixel_values``; with ``do_pad`` zeros below and on the right, to ``pad_size`` or the largest image."""
    if options.do_pad and images:
        height, width = _padded_pixels(images, options)
        images = [pad_bottom_right(image, height, width) for image in images]
    return {"pixel_values": list(images)}


def nearest_colors(images: Sequence[Array], options: ImageOptions) -> Mapping[str, list[Any]]:
    """``input_ids``: for each pixel the number of the nearest color (ImageGPT)."""
    if not options.do_color_quantize:
        return pixel_values(images, options)
    clusters = require(options.clusters, "clusters", "do_color_quantize")
    return {"input_ids": [_nearest(image, clusters) for image in images]}


def patches(images: Sequence[Array], options: ImageOptions) -> Mapping[str, list[Any]]:
    """Patches of each image, padded to ``max_num_patches``, with their mask and how they lie (SigLIP 2).

    Returns:
        ``pixel_values`` (patches, side · side · channels), ``pixel_attention_mask`` (patches,) int32, and
        ``spatial_shapes``, the rows and columns of patches.
    """
    side: int = require(options.patch_size, "patch_size", "this processor")
    limit: int = require(options.max_num_patches, "max_num_patches", "this processor")
    rows = [_patches(image, side, limit) for image in images]
    return {
        "pixel_values": [values for values, _, _ in rows],
        "pixel_attention_mask": [mask for _, mask, _ in rows],
        "spatial_shapes": [shape for _, _, shape in rows],
    }


def resize_to_patches(image: Array, options: ImageOptions) -> Array:
    """Resize to the largest whole number of patches, ``max_num_patches`` at most, with the proportions kept.

    Source: ``get_image_size_for_max_num_patches`` of transformers 5.23.
    """
    if not options.do_resize:
        return image
    side: int = require(options.patch_size, "patch_size", "this processor")
    limit: int = require(options.max_num_patches, "max_num_patches", "this processor")
    smallest, largest = _SCALE_STEP / 10, _MAX_SCALE
    while largest - smallest >= _SCALE_STEP:
        middle = (smallest + largest) / 2
        height, width = _whole_patches(image, middle, side)
        if (height // side) * (width // side) <= limit:
            smallest = middle
        else:
            largest = middle
    height, width = _whole_patches(image, smallest, side)
    return resize(image, height, width, _BILINEAR if options.resample is None else options.resample)


def _whole_patches(image: Array, factor: float, side: int) -> Pixels:
    height, width = (max(side, math.ceil(edge * factor / side) * side) for edge in image.shape[-2:])
    return height, width


def _patches(image: Array, side: int, limit: int) -> tuple[Array, Array, Array]:
    num_channels, height, width = image.shape
    if height % side or width % side or height * width > limit * side * side:
        raise InputError(
            f"The image has {height} × {width} pixels; at most {limit} whole patches of {side} × {side} are needed. "
            "Leave do_resize on."
        )
    shape = (height // side, width // side)
    grid = image.reshape(num_channels, shape[0], side, shape[1], side).transpose(1, 3, 2, 4, 0)
    rows = grid.reshape(shape[0] * shape[1], -1)  # (patches, side * side * channels)
    mask = np.zeros(limit, dtype=np.int32)
    mask[: len(rows)] = 1
    return np.pad(rows, ((0, limit - len(rows)), (0, 0))), mask, np.array(shape)


def _nearest(image: Array, clusters: Array) -> Array:
    """Source: ``color_quantize`` of transformers 5.23: (a - b)² as a² - 2ab + b²."""
    pixels = np.moveaxis(image, 0, -1).reshape(-1, 3)
    squares = np.sum(np.square(pixels), axis=1)[:, None] + np.sum(np.square(clusters.T), axis=0)[None, :]
    nearest: Array = np.argmin(squares - 2 * np.matmul(pixels, clusters.T), axis=1)
    return nearest


def _padded_pixels(images: Sequence[Array], options: ImageOptions) -> Pixels:
    if options.pad_size is not None:
        return options.pad_size.exact("pad_size")
    return max(image.shape[-2] for image in images), max(image.shape[-1] for image in images)
