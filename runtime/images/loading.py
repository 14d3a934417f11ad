"""Images from wherever they are: a path, bytes, a data URL, an address on the web, a Pillow image."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, InputTypeError
from ..safe_paths import is_regular_file
from .download import download
from .pillow import is_pillow_image, pillow, upright

if TYPE_CHECKING:
    from PIL.Image import Image

ACCEPTED = "a path, the bytes of an image file, a data URL, or a PIL image"

FORMATS: Sequence[str] = (
    *("AVIF", "BMP", "DIB", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "PCX", "PNG"),
    *("PPM", "PSD", "QOI", "SGI", "TGA", "TIFF", "WEBP", "XBM", "XPM"),
)
"""Formats that are read. Pillow knows more; one of them, EPS, runs another program on what the file says."""

_URL_SCHEMES = ("http://", "https://")
_MAX_SHOWN = 60
# Base64 without "data:" in front is taken for a path unless it is longer than paths are.
_MIN_BASE64_LENGTH = 64


def load_image(image: Any, *, allow_urls: bool = False, timeout: float | None = None, name: str = "The image") -> Image:
    """An image as upright RGB, as transformers' pipelines load it.

    Args:
        image: a path, the bytes of an image file, a data URL or base64 text, or a Pillow image; with ``allow_urls``
            also an http or https address.
        allow_urls: fetch addresses. Off unless asked: whoever chooses the address decides what this machine fetches.
        timeout: seconds that a fetch may take; None takes 20.
        name: how messages call the image.

    Returns:
        A Pillow image in mode RGB, turned as its EXIF orientation says. Transparency is dropped, not blended.

    Raises:
        InputError: there is no such file, it is no image, is cut short, or has more pixels than is safe.
        InputTypeError: the value is nothing of the above.
        MissingExtraError: Pillow is not installed.
    """
    if is_pillow_image(image):
        return _decode(image, name)
    with _open(_source(image, allow_urls, timeout, name), name) as opened:
        return _decode(opened, name)


def is_image_source(value: Any) -> bool:
    """Whether a value is of a type that :func:`load_image` takes."""
    return isinstance(value, str | Path | bytes | bytearray | memoryview) or is_pillow_image(value)


def _source(image: Any, allow_urls: bool, timeout: float | None, name: str) -> Path | BytesIO:
    """A file to read, or the bytes in memory."""
    if isinstance(image, bytes | bytearray | memoryview):
        return BytesIO(image)
    if isinstance(image, Path):
        return _existing(image, name)
    if not isinstance(image, str):
        raise InputTypeError(f"{name} is a {type(image).__name__}; {ACCEPTED} is needed.")
    if image.startswith(_URL_SCHEMES):
        if not allow_urls:
            raise InputError(
                f"{name} is an address, {_shown(image)}, and addresses are not fetched unless asked. Pass "
                "allow_urls=True, or download it first."
            )
        return BytesIO(download(image, timeout, name))
    if image.startswith("data:"):
        return BytesIO(_from_data_url(image, name))
    if len(image) >= _MIN_BASE64_LENGTH and not os.path.lexists(image[:4096]):
        try:
            return BytesIO(base64.b64decode("".join(image.split()), validate=True))
        except (binascii.Error, ValueError):
            pass
    return _existing(Path(image), name)


def _existing(path: Path, name: str) -> Path:
    if "\0" not in str(path) and is_regular_file(path):
        return path
    if os.path.isdir(path):
        raise InputError(f"{name}: {_shown(str(path))} is a folder. Pass {ACCEPTED}.")
    raise InputError(f"{name}: there is no file {_shown(str(path))}. Pass {ACCEPTED}.")


def _from_data_url(url: str, name: str) -> bytes:
    """The bytes of a data URL. Source: RFC 2397."""
    header, comma, payload = url.partition(",")
    if not comma or not header.endswith(";base64"):
        raise InputError(f"{name}: {_shown(url)} is no data URL that can be read; data:image/png;base64,… is.")
    try:
        return base64.b64decode("".join(payload.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{name}: the data URL {_shown(url)} is not valid base64: {error}.") from error


def _open(source: Path | BytesIO, name: str) -> Image:
    """Open an image by its header; pixels are read later."""
    module = pillow()
    what = f"{_shown(str(source))}" if isinstance(source, Path) else f"these {len(source.getbuffer())} bytes"
    try:
        module.init()
        opened: Image = module.open(source, formats=[known for known in FORMATS if known in module.OPEN])
    except module.UnidentifiedImageError as error:
        raise InputError(
            f"{name}: {what} cannot be read as an image. Formats that are read: {', '.join(FORMATS)}."
        ) from error
    except module.DecompressionBombError as error:
        raise InputError(f"{name}: {what} has more pixels than is safe: {error} Make it smaller first.") from error
    except OSError as error:
        raise InputError(f"{name}: {what} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # whatever Pillow's readers raise on what is no proper file
        raise InputError(f"{name}: {what} is no proper image file: {error}.") from error
    return opened


def _decode(opened: Image, name: str) -> Image:
    """Read the pixels, turn them upright and make them RGB."""
    try:
        return upright(opened).convert("RGB")
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise many kinds on files that are cut short or damaged
        raise InputError(
            f"{name} cannot be decoded: {error}. The file may be cut short; get it again, or convert it to PNG."
        ) from error


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")
