"""What preprocessor_config.json says is done to images, and what a call may say instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np

from ..errors import OptionError
from .channels import CHANNELS_FIRST, CHANNELS_LAST
from .sizes import Size, parse_size
from .transforms import RESAMPLING_NAMES, PerChannel


@dataclass(frozen=True)
class ImageOptions:
    """Options of image processors, under transformers' names; which of them matter depends on the processor's type.

    Args:
        do_convert_rgb: make images RGB, transparency blended onto white.
        do_resize: resize to ``size``.
        size: exact, by an edge, or by limits.
        default_to_square: whether a ``size`` of one number is a square's side; otherwise it is the shortest edge.
        resample: number of Pillow's filter, 0 to 5.
        do_center_crop: cut ``crop_size`` out of the middle.
        crop_size: height and width.
        crop_pct: share of the resized image that is cut out (ConvNeXT, PoolFormer).
        do_rescale: multiply pixels by ``rescale_factor``.
        rescale_factor: mostly 1/255.
        rescale_offset: subtract one after that (EfficientNet).
        do_normalize: subtract ``image_mean`` and divide by ``image_std``.
        image_mean, image_std: a number, or one for each channel.
        include_top: divide by ``image_std`` once more (EfficientNet).
        do_pad: pad to ``pad_size``, or to the largest image of the call.
        pad_size: height and width.
        do_flip_channel_order: RGB to BGR (MobileViT).
        size_divisor: what height and width are rounded up to multiples of.
        resize_short: length of the shorter edge (PP-LCNet).
        do_thumbnail, do_align_long_axis: shrink to fit ``size``; turn to its orientation first (Donut).
        do_color_quantize: give the number of each pixel's nearest color (ImageGPT).
        clusters: (colors, 3) float, those colors.
        patch_size, max_num_patches: side of the patches, and the most of them (SigLIP 2).
        input_data_format: where arrays have their channels; None looks.
        data_format: only ``"channels_first"``, which is what models take.
    """

    do_convert_rgb: bool | None = None
    do_resize: bool | None = None
    size: Size | None = None
    default_to_square: bool | None = True
    resample: int | None = None
    do_center_crop: bool | None = None
    crop_size: Size | None = None
    crop_pct: float | None = None
    do_rescale: bool | None = None
    rescale_factor: float | None = 1 / 255
    rescale_offset: bool | None = None
    do_normalize: bool | None = None
    image_mean: PerChannel | None = None
    image_std: PerChannel | None = None
    include_top: bool | None = None
    do_pad: bool | None = None
    pad_size: Size | None = None
    do_flip_channel_order: bool | None = None
    size_divisor: int | None = None
    resize_short: int | None = None
    do_thumbnail: bool | None = None
    do_align_long_axis: bool | None = None
    do_color_quantize: bool | None = None
    clusters: Any = None
    patch_size: int | None = None
    max_num_patches: int | None = None
    input_data_format: str | None = None
    data_format: str | None = None

    def overridden(self, values: Mapping[str, Any]) -> Self:
        """A copy with other values, each checked.

        Raises:
            OptionError: a value that the option cannot take, or an option that is not there.
        """
        names = [field.name for field in fields(self)]
        unknown = [name for name in values if name not in names]
        if unknown:
            raise OptionError(
                f"Image processors have no option {', '.join(map(repr, unknown))}; they take {', '.join(names)}."
            )
        to_square = values.get("default_to_square", self.default_to_square)
        checked = {name: _checked(name, value, bool(to_square)) for name, value in values.items()}
        return replace(self, **checked)

    def to_dict(self) -> dict[str, Any]:
        """The values that are not None, as preprocessor_config.json has them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _plain(value) for name, value in values.items() if value is not None}


def require(value: Any, name: str, because: str) -> Any:
    """``value``, unless it is None.

    Raises:
        OptionError: it is None; the message says what needs it.
    """
    if value is None:
        raise OptionError(f"{name} is missing; {because} needs it.")
    return value


def _plain(value: Any) -> Any:
    """A value as JSON takes it."""
    if isinstance(value, Size):
        return value.to_dict()
    return value.tolist() if isinstance(value, np.ndarray) else value


def _checked(name: str, value: Any, to_square: bool) -> Any:
    if value is None:
        return None
    check: Callable[[str, Any, bool], Any] = _CHECKS.get(name, _flag)
    return check(name, value, to_square)


def _flag(name: str, value: Any, to_square: bool) -> bool:
    # Older preprocessor configs write 0 and 1.
    if not isinstance(value, bool) and value not in (0, 1):
        raise OptionError(f"{name} is {value!r}; True or False is needed.")
    return bool(value)


def _size(name: str, value: Any, to_square: bool) -> Size:
    return parse_size(value, name, to_square=to_square or name != "size")


def _resample(name: str, value: Any, to_square: bool) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(RESAMPLING_NAMES):
        allowed = ", ".join(f"{number} ({filter_name})" for number, filter_name in enumerate(RESAMPLING_NAMES))
        raise OptionError(f"{name} is {value!r}; allowed are {allowed}.")
    return int(value)


def _number(name: str, value: Any, to_square: bool) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise OptionError(f"{name} is {value!r}; a number above zero is needed.")
    return value


def _count(name: str, value: Any, to_square: bool) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionError(f"{name} is {value!r}; a whole number of at least 1 is needed.")
    return value


def _per_channel(name: str, value: Any, to_square: bool) -> PerChannel:
    numbers = np.asarray(value).ravel().tolist() if isinstance(value, list | tuple | np.ndarray) else [value]
    if not numbers or not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        raise OptionError(f"{name} is {value!r}; a number, or one for each channel is needed.")
    return tuple(numbers) if isinstance(value, list | tuple | np.ndarray) else value


def _clusters(name: str, value: Any, to_square: bool) -> Any:
    try:
        colors = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise OptionError(f"{name} cannot be read: {error}; a list of colors of 3 numbers is needed.") from error
    if colors.ndim != 2 or colors.shape[-1] != 3 or not len(colors):
        raise OptionError(f"{name} has the shape {colors.shape}; colors of 3 numbers are needed.")
    return colors


def _input_layout(name: str, value: Any, to_square: bool) -> str:
    if value not in (CHANNELS_FIRST, CHANNELS_LAST):
        raise OptionError(f"{name} is {value!r}; allowed are {CHANNELS_FIRST!r} and {CHANNELS_LAST!r}.")
    return str(value)


def _output_layout(name: str, value: Any, to_square: bool) -> str:
    if value != CHANNELS_FIRST:
        raise OptionError(f"{name} is {value!r}; {CHANNELS_FIRST!r} is what comes out, and what models take.")
    return str(value)


_CHECKS: Mapping[str, Callable[[str, Any, bool], Any]] = {
    "size": _size,
    "crop_size": _size,
    "pad_size": _size,
    "resample": _resample,
    "crop_pct": _number,
    "rescale_factor": _number,
    "image_mean": _per_channel,
    "image_std": _per_channel,
    "size_divisor": _count,
    "resize_short": _count,
    "patch_size": _count,
    "max_num_patches": _count,
    "clusters": _clusters,
    "input_data_format": _input_layout,
    "data_format": _output_layout,
}
"""Option → what checks it and brings it into form; options that are not here are True or False."""
