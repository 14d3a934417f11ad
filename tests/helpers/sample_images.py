"""Images that look like photographs and drawings: smooth light, edges and texture, the same every time."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(height, width, 3) uint8: a sky that brightens, a disc, a field with texture."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    light = rows / max(1, height - 1)
    pixels = np.stack([90 + 120 * light, 140 + 70 * light, 230 - 90 * light], axis=-1)
    distance = np.hypot(rows - 0.35 * height, columns - 0.6 * width)
    pixels[distance < 0.2 * min(height, width)] = (250, 200, 40)
    field = rows > 0.65 * height
    pixels[field] = np.array([60, 110, 50]) + generator.normal(0, 25, (int(field.sum()), 3))
    return np.clip(pixels + generator.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)


def _with_alpha(pixels: np.ndarray) -> np.ndarray:
    alpha = np.linspace(0, 255, pixels.shape[1]).astype(np.uint8)
    return np.concatenate([pixels, np.broadcast_to(alpha[None, :, None], (*pixels.shape[:2], 1))], axis=-1)


def _rotated() -> Image.Image:
    """A JPEG that says it lies on its side."""
    image = Image.fromarray(scene(90, 130, seed=3))
    exif = image.getexif()
    exif[0x0112] = 6
    stream = BytesIO()
    image.save(stream, "JPEG", exif=exif, quality=90)
    return Image.open(BytesIO(stream.getvalue()))


def _sixteen_bits() -> Image.Image:
    return Image.fromarray(scene(70, 110, seed=4)[..., 0].astype(np.uint16) * 257)


PIL_IMAGES: dict[str, Callable[[], Image.Image]] = {
    "photo": lambda: Image.fromarray(scene(233, 317)),
    "tall": lambda: Image.fromarray(scene(640, 97, seed=1)),
    "wide": lambda: Image.fromarray(scene(61, 501, seed=2)),
    "pixel": lambda: Image.new("RGB", (1, 1), (200, 30, 90)),
    "small": lambda: Image.fromarray(scene(17, 23, seed=5)),
    "grayscale": lambda: Image.fromarray(scene(120, 150)).convert("L"),
    "palette": lambda: Image.fromarray(scene(120, 150)).convert("P", palette=Image.Palette.ADAPTIVE, colors=32),
    "rgba": lambda: Image.fromarray(_with_alpha(scene(140, 111))),
    "gray-alpha": lambda: Image.fromarray(_with_alpha(scene(80, 90))).convert("LA"),
    "cmyk": lambda: Image.fromarray(scene(99, 123)).convert("CMYK"),
    "bilevel": lambda: Image.fromarray(scene(88, 77)).convert("1"),
    "16-bit": _sixteen_bits,
    "rotated": _rotated,
}
"""Modes and shapes that files have."""

RGB_IMAGES = ("photo", "tall", "wide", "pixel", "small", "rotated")

ARRAYS: dict[str, Callable[[], Any]] = {
    "last": lambda: scene(120, 155),
    "first": lambda: np.moveaxis(scene(120, 155), -1, 0),
    "unit floats": lambda: (scene(64, 90) / 255).astype(np.float32),
    "unit doubles": lambda: scene(64, 90) / 255,
    "whole floats": lambda: scene(64, 90).astype(np.float32),
    "integers": lambda: scene(64, 90).astype(np.int64),
}
"""Layouts and dtypes that arrays have."""
