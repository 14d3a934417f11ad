"""Every kind of image processor beside transformers' own, on images of every shape and mode."""

import json
import logging
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from sample_images import ARRAYS, PIL_IMAGES, RGB_IMAGES, scene
from transformers import AutoImageProcessor as TheirAutoImageProcessor
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES,
)

from headway.runtime import AutoImageProcessor
from headway.runtime.errors import InputError
from headway.runtime.images.kinds import KINDS, KINDS_BY_MODEL_TYPE
from headway.runtime.images.processor import ImageProcessor

# Without torchvision transformers has no class for these, so torch's own resampling stands in for it below.
TORCHVISION_ONLY = ("DINOv3ViTImageProcessor", "PPLCNetImageProcessor", "Tipsv2ImageProcessor")
# Not available without the package or the tokens that come with them, and refused by name.
REFUSED = {"timm_wrapper", "shieldgemma2"}
# No image processor of their own in transformers either: their checkpoints name another's.
UNNAMED = {"dinov2_with_registers", "hgnet_v2", "videoprism"}

COLORS = [[-0.9, -0.9, -0.9], [0.9, 0.9, 0.9], [0.6, -0.2, -0.7], [-0.3, 0.1, 0.8], [0.0, 0.0, 0.0]]
# What has no default, or a default that is only slow.
OPTIONS = {
    "ImageGPTImageProcessor": {"clusters": COLORS, "size": {"height": 32, "width": 32}},
    "DonutImageProcessor": {"size": {"height": 320, "width": 240}},
    "OwlViTImageProcessor": {"size": {"height": 192, "width": 192}},
}
COMPARED = [kind for kind in KINDS if kind not in TORCHVISION_ONLY]


@cache
def theirs(kind: str):
    return _their_class(kind)(**OPTIONS.get(kind, {}))


@cache
def ours(kind: str) -> ImageProcessor:
    return ImageProcessor(kind, OPTIONS.get(kind, {}))


def _their_class(kind: str):
    import transformers

    return getattr(transformers, f"{kind}Pil")


def assert_equal(ours_out, theirs_out) -> None:
    assert set(ours_out) == set(theirs_out)
    for name, expected in theirs_out.items():
        found = ours_out[name]
        assert found.shape == expected.shape, name
        assert found.dtype == expected.dtype, name
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", COMPARED)
def test_defaults_are_transformers(kind):
    defaults = KINDS[kind].defaults
    reference = _their_class(kind)
    known = set(ours(kind).options.__dataclass_fields__) - {"data_format"}
    for name in sorted(known):
        expected = getattr(reference, name, None)
        found = defaults.get(name, getattr(type(ours(kind).options)(), name))
        if isinstance(expected, list):
            expected = tuple(expected)
        if name in ("rescale_factor",):
            assert found == pytest.approx(expected)
        else:
            assert (found or None) == (expected or None), name
    assert ours(kind).model_input_names == reference.model_input_names


@pytest.mark.parametrize("name", RGB_IMAGES)
@pytest.mark.parametrize("kind", COMPARED)
def test_rgb_images(kind, name):
    image = PIL_IMAGES[name]()
    if (kind, name) == ("PerceiverImageProcessor", "pixel"):
        # The middle of one pixel is no pixel; transformers resizes that to black.
        with pytest.raises(InputError, match="too narrow"):
            ours(kind)(image)
        return
    expected = theirs(kind)(image, return_tensors="np")
    assert_equal(ours(kind)(image, return_tensors="np"), expected)


@pytest.mark.parametrize("name", [name for name in PIL_IMAGES if name not in RGB_IMAGES])
@pytest.mark.parametrize("kind", ["CLIPImageProcessor", "SiglipImageProcessor", "ViTImageProcessor"])
def test_other_modes(kind, name):
    image = PIL_IMAGES[name]()
    try:
        expected = theirs(kind)(image, return_tensors="np")
    except (ValueError, TypeError):
        with pytest.raises(InputError):
            ours(kind)(image, return_tensors="np")
        return
    assert_equal(ours(kind)(image, return_tensors="np"), expected)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("kind", COMPARED)
def test_arrays(kind, name):
    array = ARRAYS[name]()
    assert_equal(ours(kind)(array, return_tensors="np"), theirs(kind)(array, return_tensors="np"))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ViTImageProcessor", {"size": 40}),
        ("ViTImageProcessor", {"size": {"shortest_edge": 50}}),
        ("ViTImageProcessor", {"size": {"shortest_edge": 50, "longest_edge": 64}}),
        ("ViTImageProcessor", {"size": {"shortest_edge": 90, "longest_edge": 95}}),
        ("ViTImageProcessor", {"size": {"max_height": 70, "max_width": 55}}),
        ("ViTImageProcessor", {"size": (30, 45)}),
        ("ViTImageProcessor", {"do_resize": False}),
        ("ViTImageProcessor", {"do_rescale": False}),
        ("ViTImageProcessor", {"do_normalize": False}),
        ("ViTImageProcessor", {"do_rescale": False, "do_normalize": False}),
        ("ViTImageProcessor", {"image_mean": 0.5, "image_std": 0.25}),
        ("ViTImageProcessor", {"rescale_factor": 1 / 127.5}),
        ("ViTImageProcessor", {"do_center_crop": True, "crop_size": {"height": 500, "width": 31}}),
        ("ViTImageProcessor", {"do_pad": True, "pad_size": {"height": 256, "width": 301}}),
        *(("ViTImageProcessor", {"resample": number, "size": 50}) for number in range(6)),
        ("CLIPImageProcessor", {"size": 70, "crop_size": 51}),
        ("CLIPImageProcessor", {"do_convert_rgb": False}),
        ("SiglipImageProcessor", {"size": 60}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 224}}),
        ("ConvNextImageProcessor", {"size": 200, "crop_pct": 0.95}),
        ("ConvNextImageProcessor", {"do_center_crop": True, "crop_size": 100}),
        ("PoolFormerImageProcessor", {"size": {"height": 90, "width": 90}, "crop_pct": 0.8}),
        ("PoolFormerImageProcessor", {"size": {"height": 90, "width": 60}}),
        ("LevitImageProcessor", {"size": {"height": 90, "width": 60}}),
        ("EfficientNetImageProcessor", {"rescale_offset": True, "rescale_factor": 1 / 127.5}),
        ("EfficientNetImageProcessor", {"include_top": False, "do_center_crop": True}),
        ("MobileViTImageProcessor", {"do_flip_channel_order": False}),
        ("MobileViTImageProcessor", {"do_normalize": True}),
        ("DonutImageProcessor", {"do_align_long_axis": True}),
        ("DonutImageProcessor", {"size": (200, 130)}),
        ("DonutImageProcessor", {"do_thumbnail": False, "do_pad": False}),
        ("TextNetImageProcessor", {"size": 100, "size_divisor": 24}),
        ("ImageGPTImageProcessor", {"do_color_quantize": False, "size": 16}),
        ("Siglip2ImageProcessor", {"patch_size": 14, "max_num_patches": 50}),
        ("SegformerImageProcessor", {"do_center_crop": True, "crop_size": 10}),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value),
)
def test_options_of_a_call(kind, options):
    images = [PIL_IMAGES["photo"](), PIL_IMAGES["tall"]()]
    for image in images:
        expected = theirs(kind)(image, return_tensors="np", **options)
        assert_equal(ours(kind)(image, return_tensors="np", **options), expected)


@pytest.mark.parametrize("kind", COMPARED)
def test_batches_of_different_sizes(kind):
    if kind == "TextNetImageProcessor":
        images = [PIL_IMAGES["photo"](), mirrored(PIL_IMAGES["photo"]())]
    else:
        images = [PIL_IMAGES["photo"](), PIL_IMAGES["wide"](), scene(50, 60)]
    assert_equal(ours(kind)(images, return_tensors="np"), theirs(kind)(images, return_tensors="np"))


def mirrored(image):
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def test_padding_to_the_largest():
    images = [scene(50, 60), scene(70, 20)]
    options = {"do_resize": False, "do_pad": True}
    expected = theirs("ViTImageProcessor")(images, return_tensors="np", **options)
    assert_equal(ours("ViTImageProcessor")(images, return_tensors="np", **options), expected)


def test_nested_lists_and_arrays_of_four_axes():
    images = np.stack([scene(40, 50), scene(40, 50, seed=1)])
    reference = theirs("ViTImageProcessor")
    for given in (images, [images, images], [[images[0]], [images[1], images[0]]], list(images)):
        assert_equal(ours("ViTImageProcessor")(given, return_tensors="np"), reference(given, return_tensors="np"))


def test_what_is_ambiguous_is_said(caplog):
    with caplog.at_level(logging.WARNING, "headway"):
        ours("ViTImageProcessor")(scene(3, 40))
        assert "could have its channels first or last" in caplog.text
        caplog.clear()
        ours("ViTImageProcessor")(scene(3, 40), input_data_format="channels_last")
        ours("ViTImageProcessor")(scene(5, 40))
        assert not caplog.text


def test_input_data_format_settles_what_is_ambiguous():
    array = scene(40, 3)[:, :, :3]  # (40, 3, 3)
    tall = np.moveaxis(scene(3, 40), 1, 0)  # channels at both ends once moved
    for given in (array, np.moveaxis(tall, 0, 1)):
        for layout in ("channels_last", None):
            expected = theirs("ViTImageProcessor")(given, return_tensors="np", input_data_format=layout)
            found = ours("ViTImageProcessor")(given, return_tensors="np", input_data_format=layout)
            assert_equal(found, expected)


def _torch_resized(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return torch.nn.functional.interpolate(pixels[None], size, mode="bilinear", antialias=True)[0]


def test_dinov3_resizes_fractions():
    pixels = torch.from_numpy(np.moveaxis(scene(233, 317), -1, 0).copy()).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected = (_torch_resized(pixels, (224, 224)) - mean) / std
    found = ours("DINOv3ViTImageProcessor")(scene(233, 317), return_tensors="np").pixel_values[0]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_tipsv2_is_within_a_step_of_torch():
    pixels = torch.from_numpy(np.moveaxis(scene(233, 317), -1, 0).copy())
    expected = _torch_resized(pixels, (448, 448)).float() / 255
    found = ours("Tipsv2ImageProcessor")(scene(233, 317), return_tensors="np").pixel_values[0]
    np.testing.assert_allclose(found, expected.numpy(), atol=1.01 / 255)


def test_pp_lcnet_is_within_a_step_of_torch():
    pixels = torch.from_numpy(np.moveaxis(scene(233, 317), -1, 0).copy())
    resized = _torch_resized(pixels, (256, round(317 * 256 / 233))).float() / 255
    left = (resized.shape[-1] - 224) // 2
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.406, 0.456, 0.485), (0.225, 0.224, 0.229)))
    expected = ((resized[:, 16:240, left : left + 224] - mean) / std)[[2, 1, 0]]
    found = ours("PPLCNetImageProcessor")(scene(233, 317), return_tensors="np").pixel_values[0]
    np.testing.assert_allclose(found, expected.numpy(), atol=1.01 / 255 / 0.224)


def test_every_registered_model_type_has_its_kind():
    registered = {
        *MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
        *MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    }
    missing = registered - set(KINDS_BY_MODEL_TYPE)
    assert missing == REFUSED | UNNAMED
    for model_type, kind in KINDS_BY_MODEL_TYPE.items():
        assert IMAGE_PROCESSOR_MAPPING_NAMES[model_type]["torchvision"] == kind, model_type


@pytest.mark.parametrize("kind", COMPARED)
def test_saved_files_load_on_both_sides(kind, tmp_path):
    theirs(kind).save_pretrained(tmp_path / "theirs")
    ours(kind).save_pretrained(tmp_path / "ours")
    image = PIL_IMAGES["photo"]()
    expected = theirs(kind)(image, return_tensors="np")
    assert_equal(AutoImageProcessor.from_pretrained(tmp_path / "theirs")(image, return_tensors="np"), expected)
    assert_equal(TheirAutoImageProcessor.from_pretrained(tmp_path / "ours")(image, return_tensors="np"), expected)
