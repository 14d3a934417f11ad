"""Kinds of image processors: the defaults of each of transformers' classes, and the steps it takes.

Source: ``models/*/image_processing_pil_*.py`` of transformers 5.23, and ``image_processing_*.py`` of those that exist
for torchvision only (DINOv3, PP-LCNet, TIPSv2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import steps
from .finishing import Finish, nearest_colors, padded_pixel_values, patches, pixel_values, resize_to_patches
from .steps import Step

_HALF = (0.5, 0.5, 0.5)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_BILINEAR, _BICUBIC = 2, 3

_HALF_NORMALIZED = {"do_rescale": True, "do_normalize": True, "image_mean": _HALF, "image_std": _HALF}
_IMAGENET_NORMALIZED = {**_HALF_NORMALIZED, "image_mean": _IMAGENET_MEAN, "image_std": _IMAGENET_STD}
_CLIP_NORMALIZED = {**_HALF_NORMALIZED, "image_mean": _CLIP_MEAN, "image_std": _CLIP_STD}


def _resized(size: int, resample: int, *, shortest: bool = False) -> dict[str, Any]:
    edges = {"shortest_edge": size} if shortest else {"height": size, "width": size}
    return {"do_resize": True, "size": edges, "resample": resample, "default_to_square": not shortest}


def _cropped(size: int, *, on: bool = True) -> dict[str, Any]:
    return {"do_center_crop": on, "crop_size": {"height": size, "width": size}}


_STANDARD_STEPS = (steps.resize_to_size, steps.crop_center, steps.scale_and_normalize)


@dataclass(frozen=True)
class Kind:
    """A kind of image processor.

    Args:
        defaults: values of options that preprocessor_config.json leaves out.
        steps: what is done to each image, in this order.
        finish: what makes inputs of the images.
        input_names: names of those inputs.
        has_reversed_sizes: a ``size`` of two numbers is width and height.
    """

    defaults: Mapping[str, Any]
    steps: Sequence[Step] = _STANDARD_STEPS
    finish: Finish = padded_pixel_values
    input_names: tuple[str, ...] = ("pixel_values",)
    has_reversed_sizes: bool = False


_CLIP = Kind(
    {"do_convert_rgb": True, **_resized(224, _BICUBIC, shortest=True), **_cropped(224), **_CLIP_NORMALIZED},
)

KINDS: Mapping[str, Kind] = {
    "BeitImageProcessor": Kind(
        {**_resized(224, _BICUBIC), **_cropped(224, on=False), **_HALF_NORMALIZED}, finish=pixel_values
    ),
    "BitImageProcessor": _CLIP,
    "BlipImageProcessor": Kind({"do_convert_rgb": True, **_resized(384, _BICUBIC), **_CLIP_NORMALIZED}),
    "CLIPImageProcessor": _CLIP,
    "ChineseCLIPImageProcessor": _CLIP,
    "ConvNextImageProcessor": Kind(
        {**_resized(384, _BICUBIC, shortest=True), "crop_pct": 224 / 256, **_HALF_NORMALIZED},
        (steps.resize_convnext, steps.crop_center, steps.scale_and_normalize),
        pixel_values,
    ),
    "DINOv3ViTImageProcessor": Kind(
        {**_resized(224, _BILINEAR), **_IMAGENET_NORMALIZED},
        (steps.resize_scaled, steps.crop_center, steps.normalize_only),
        pixel_values,
    ),
    "DeiTImageProcessor": Kind({**_resized(256, _BICUBIC), **_cropped(224), **_HALF_NORMALIZED}),
    "DonutImageProcessor": Kind(
        {
            **_resized(2560, _BILINEAR),
            "size": {"height": 2560, "width": 1920},
            "do_thumbnail": True,
            "do_align_long_axis": False,
            "do_pad": True,
            **_HALF_NORMALIZED,
        },
        (
            steps.align_long_axis,
            steps.resize_donut,
            steps.pad_to_size,
            steps.crop_center,
            steps.scale_and_normalize,
        ),
        pixel_values,
        has_reversed_sizes=True,
    ),
    "EfficientNetImageProcessor": Kind(
        {
            **_resized(346, _BICUBIC),
            **_cropped(289, on=False),
            "rescale_offset": False,
            "include_top": True,
            **_HALF_NORMALIZED,
        },
        (steps.resize_to_size, steps.crop_center, steps.scale_and_normalize_twice),
        pixel_values,
    ),
    "FlavaImageProcessor": Kind({**_resized(224, _BICUBIC), **_cropped(224), **_CLIP_NORMALIZED}, finish=pixel_values),
    "ImageGPTImageProcessor": Kind(
        {**_resized(256, _BILINEAR), "do_color_quantize": True, **_HALF_NORMALIZED},
        (steps.resize_to_size, steps.scale_and_normalize),
        nearest_colors,
        ("input_ids",),
    ),
    "LevitImageProcessor": Kind(
        {**_resized(224, _BICUBIC, shortest=True), **_cropped(224), **_IMAGENET_NORMALIZED},
        (steps.resize_levit, steps.crop_center, steps.scale_and_normalize),
    ),
    "MobileNetV1ImageProcessor": Kind({**_resized(256, _BILINEAR, shortest=True), **_cropped(224), **_HALF_NORMALIZED}),
    "MobileNetV2ImageProcessor": Kind(
        {**_resized(256, _BILINEAR, shortest=True), **_cropped(224), **_HALF_NORMALIZED}, finish=pixel_values
    ),
    "MobileViTImageProcessor": Kind(
        {
            **_resized(224, _BICUBIC, shortest=True),
            **_cropped(256),
            "do_flip_channel_order": True,
            **_HALF_NORMALIZED,
            "do_normalize": None,
        },
        (steps.resize_to_size, steps.crop_center, steps.rescale_only, steps.flip_channels),
        pixel_values,
    ),
    "OwlViTImageProcessor": Kind(
        {"do_convert_rgb": True, **_resized(768, _BICUBIC), **_cropped(768, on=False), **_CLIP_NORMALIZED}
    ),
    "PPLCNetImageProcessor": Kind(
        {
            **_resized(256, _BILINEAR),
            **_cropped(224),
            "resize_short": 256,
            "size_divisor": 1,
            **_HALF_NORMALIZED,
            "image_mean": _IMAGENET_MEAN[::-1],
            "image_std": _IMAGENET_STD[::-1],
        },
        (steps.resize_short_edge, steps.crop_center, steps.scale_and_normalize, steps.always_flip_channels),
        pixel_values,
    ),
    "PerceiverImageProcessor": Kind(
        {**_resized(224, _BICUBIC), **_cropped(256), **_IMAGENET_NORMALIZED},
        (steps.crop_perceiver, steps.resize_to_size, steps.scale_and_normalize),
        pixel_values,
    ),
    "PoolFormerImageProcessor": Kind(
        {**_resized(224, _BICUBIC, shortest=True), **_cropped(224), "crop_pct": 0.9, **_IMAGENET_NORMALIZED},
        (steps.resize_poolformer, steps.crop_center, steps.scale_and_normalize),
    ),
    "PvtImageProcessor": Kind({**_resized(224, _BICUBIC), **_IMAGENET_NORMALIZED}),
    "SegformerImageProcessor": Kind(
        {**_resized(512, _BILINEAR), **_IMAGENET_NORMALIZED},
        (steps.resize_to_size, steps.scale_and_normalize),
        pixel_values,
    ),
    "Siglip2ImageProcessor": Kind(
        {"do_resize": True, "resample": _BILINEAR, "patch_size": 16, "max_num_patches": 256, **_HALF_NORMALIZED},
        (resize_to_patches, steps.scale_and_normalize),
        patches,
        ("pixel_values", "pixel_attention_mask", "spatial_shapes"),
    ),
    "SiglipImageProcessor": Kind(
        {"do_convert_rgb": True, **_resized(224, _BICUBIC), "default_to_square": False, **_HALF_NORMALIZED}
    ),
    "TextNetImageProcessor": Kind(
        {
            "do_convert_rgb": True,
            **_resized(640, _BILINEAR, shortest=True),
            **_cropped(224, on=False),
            "size_divisor": 32,
            **_IMAGENET_NORMALIZED,
        },
        (steps.resize_divisible, steps.crop_center, steps.scale_and_normalize),
        pixel_values,
    ),
    "Tipsv2ImageProcessor": Kind(
        {"do_convert_rgb": True, **_resized(448, _BILINEAR), "do_rescale": True, "do_normalize": False}
    ),
    "ViTImageProcessor": Kind({**_resized(224, _BILINEAR), **_HALF_NORMALIZED}),
}
"""Class of transformers → its kind."""

KINDS_BY_MODEL_TYPE: Mapping[str, str] = {
    model_type: f"{prefix}ImageProcessor"
    for prefix, model_types in {
        "Beit": ("beit", "data2vec-vision"),
        "Bit": ("bit", "dinov2", "focalnet", "hiera", "pixio"),
        "Blip": ("blip", "blip-2"),
        "CLIP": ("aimv2", "aimv2_vision_model", "altclip", "clip", "groupvit", "metaclip_2", "mlcd"),
        "ChineseCLIP": ("chinese_clip",),
        "ConvNext": ("convnext", "convnextv2", "cvt", "regnet", "resnet"),
        "DINOv3ViT": ("dinov3_vit",),
        "DeiT": ("deit",),
        "Donut": ("donut-swin",),
        "EfficientNet": ("align", "efficientnet"),
        "Flava": ("flava",),
        "ImageGPT": ("imagegpt",),
        "Levit": ("levit",),
        "MobileNetV1": ("mobilenet_v1",),
        "MobileNetV2": ("mobilenet_v2",),
        "MobileViT": ("mobilevit", "mobilevitv2"),
        "OwlViT": ("owlvit",),
        "PPLCNet": ("pp_lcnet",),
        "Perceiver": ("perceiver",),
        "PoolFormer": ("poolformer",),
        "Pvt": ("pvt", "pvt_v2"),
        "Segformer": ("segformer",),
        "Siglip": ("siglip",),
        "Siglip2": ("siglip2",),
        "TextNet": ("textnet",),
        "Tipsv2": ("tipsv2",),
        "ViT": (
            *("clipseg", "dinat", "ijepa", "mgp-str", "swiftformer", "swin", "swinv2"),
            *("vit", "vit_mae", "vit_msn"),
        ),
    }.items()
    for model_type in model_types
}
"""Model type → the class of its image processor, for checkpoints that do not name one."""
