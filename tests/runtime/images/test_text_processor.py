"""Processors of images and texts beside transformers' CLIPProcessor and its kin."""

import numpy as np
import pytest
import tiny_tokenizers
import transformers
from sample_images import scene

from headway.runtime import AutoProcessor, ImageTextProcessor
from headway.runtime.errors import InputError, OptionError
from headway.runtime.images.processor import ImageProcessor
from headway.runtime.images.text_processor import TEXT_DEFAULTS

TEXTS = ["a fox", "two quick brown dogs over there"]
_SIZE = {"size": {"height": 24, "width": 24}}
_CLASSES = {
    "CLIPProcessor": (transformers.CLIPImageProcessorPil, "CLIPTokenizer", {}),
    "SiglipProcessor": (transformers.SiglipImageProcessorPil, "T5Tokenizer", {"padding": "max_length"}),
    "BlipProcessor": (transformers.BlipImageProcessorPil, "BertTokenizer", {}),
    "AlignProcessor": (transformers.EfficientNetImageProcessorPil, "BertTokenizer", {"padding": "max_length"}),
    "ChineseCLIPProcessor": (transformers.ChineseCLIPImageProcessorPil, "BertTokenizer", {}),
}


@pytest.fixture(scope="module", params=_CLASSES)
def pair(request, tmp_path_factory):
    image_class, tokenizer_class, options = _CLASSES[request.param]
    tokenizer = tiny_tokenizers.build(tokenizer_class, model_max_length=64)
    theirs = getattr(transformers, request.param)(image_class(**_SIZE, crop_size=24), tokenizer)
    folder = tmp_path_factory.mktemp(request.param)
    theirs.save_pretrained(folder)
    return theirs, AutoProcessor.from_pretrained(folder), {"padding": True, **options}


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)


def test_images_and_texts(pair):
    theirs, ours, options = pair
    assert isinstance(ours, ImageTextProcessor)
    images = [scene(40, 50), scene(30, 20, seed=1)]
    call = {"text": TEXTS, "images": images, "return_tensors": "np", **options}
    assert_same(ours(**call), theirs(**call))
    assert_same(ours(images=images[0], return_tensors="np"), theirs(images=images[0], return_tensors="np"))
    assert_same(ours(text=TEXTS, return_tensors="np", **options), theirs(text=TEXTS, return_tensors="np", **options))


def test_options_go_where_they_belong(pair):
    theirs, ours, options = pair
    call = {"text": TEXTS, "images": scene(40, 50), "return_tensors": "np", **options}
    for more in (
        {"do_normalize": False, "max_length": 9, "padding": "max_length", "truncation": True},
        {"images_kwargs": {"resample": 0}, "text_kwargs": {"add_special_tokens": False}},
    ):
        assert_same(ours(**{**call, **more}), theirs(**{**call, **more}))


def test_defaults_of_texts_are_transformers():
    for name, defaults in TEXT_DEFAULTS.items():
        assert getattr(transformers, name).text_kwargs == defaults


def test_saved_processors_load(pair, tmp_path):
    _, ours, options = pair
    ours.save_pretrained(tmp_path)
    call = {"text": TEXTS, "images": scene(40, 50), "return_tensors": "np", **options}
    assert_same(AutoProcessor.from_pretrained(tmp_path)(**call), ours(**call))
    assert ours.decode(ours(text="a fox").input_ids, skip_special_tokens=True).strip() == "a fox"
    assert ours.batch_decode([[1], [2]])


def test_images_alone(tmp_path):
    ImageProcessor("ViTImageProcessor").save_pretrained(tmp_path)
    assert isinstance(AutoProcessor.from_pretrained(tmp_path), ImageProcessor)


def test_neither_and_unknown(pair):
    with pytest.raises(InputError, match="neither"):
        pair[1]()
    with pytest.raises(OptionError):
        pair[1](text="a", images=scene(9, 9), sise=3)
