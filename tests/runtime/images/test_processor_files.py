"""What preprocessor_config.json and processor_config.json may look like, old and new, and what is refused."""

import json

import numpy as np
import pytest
from sample_images import scene
from transformers import AutoImageProcessor as TheirAutoImageProcessor
from transformers import CLIPConfig, CLIPImageProcessorPil, ViTConfig

from headway.runtime import AutoImageProcessor
from headway.runtime.errors import ArtifactNotFoundError, CorruptArtifactError, OptionError, UnsupportedFormatError
from headway.runtime.images.files import takes_images_alone
from headway.runtime.images.processor import ImageProcessor


def write(folder, values, name="preprocessor_config.json"):
    (folder / name).write_text(json.dumps(values), encoding="utf-8")
    return folder


OLD_AND_NEW = {
    "old extractor": {"feature_extractor_type": "ViTFeatureExtractor", "size": 40, "resample": 3},
    "old CLIP": {"feature_extractor_type": "CLIPFeatureExtractor", "size": 60, "crop_size": 50, "do_center_crop": True},
    "old ConvNeXT": {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 100, "crop_pct": 0.9},
    "old Donut": {"image_processor_type": "DonutImageProcessor", "size": [90, 130]},
    "fast": {"image_processor_type": "SiglipImageProcessorFast", "size": {"height": 50, "width": 40}},
    "nulls": {"image_processor_type": "ViTImageProcessor", "do_resize": None, "size": None, "do_normalize": None},
    "numbers for flags": {"image_processor_type": "ViTImageProcessor", "do_normalize": 0},
    "strange keys": {"image_processor_type": "BitImageProcessor", "reduce_labels": True, "_valid_kwargs": ["a"]},
    "no type, model known": {"size": {"height": 44, "width": 44}},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OLD_AND_NEW)
def test_old_and_new_files(name, tmp_path):
    ViTConfig().save_pretrained(tmp_path)
    write(tmp_path, OLD_AND_NEW[name])
    image = scene(120, 150)
    expected = TheirAutoImageProcessor.from_pretrained(tmp_path)(image, return_tensors="np").pixel_values
    found = AutoImageProcessor.from_pretrained(tmp_path)(image, return_tensors="np").pixel_values
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_nested_files_come_first(tmp_path):
    CLIPConfig().save_pretrained(tmp_path)
    write(tmp_path, {"image_processor_type": "ViTImageProcessor"})
    nested = CLIPImageProcessorPil(size={"shortest_edge": 30}, crop_size=24).to_dict()
    write(tmp_path, {"image_processor": nested, "processor_class": "CLIPProcessor"}, "processor_config.json")
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    assert processor.kind == "CLIPImageProcessor"
    assert processor.crop_size == {"height": 24, "width": 24}
    image = scene(50, 70)
    expected = TheirAutoImageProcessor.from_pretrained(tmp_path)(image, return_tensors="np").pixel_values
    np.testing.assert_allclose(processor(image, return_tensors="np").pixel_values, expected, atol=1e-5)


def test_overrides(tmp_path):
    write(tmp_path, {"image_processor_type": "ViTImageProcessor"})
    processor = AutoImageProcessor.from_pretrained(tmp_path, size=30, use_fast=False)
    assert processor.size == {"height": 30, "width": 30}
    file = tmp_path / "preprocessor_config.json"
    assert AutoImageProcessor.from_pretrained(file, do_resize=False).do_resize is False
    with pytest.raises(OptionError, match="'sise'"):
        AutoImageProcessor.from_pretrained(tmp_path, sise=30)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"image_processor_type": "Qwen2VLImageProcessor"}, UnsupportedFormatError, "asks for a Qwen2VLImageProcessor"),
        ({"image_processor_type": "TimmWrapperImageProcessor"}, UnsupportedFormatError, "TimmWrapperImageProcessor"),
        ({"size": 3}, UnsupportedFormatError, "names no image_processor_type"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"edge": 3}}, CorruptArtifactError, "size has the keys"),
        ({"image_processor_type": "ViTImageProcessor", "resample": 9}, CorruptArtifactError, "resample is 9"),
        ({"image_processor_type": "ViTImageProcessor", "image_std": "half"}, CorruptArtifactError, "image_std"),
        ({"image_processor_type": "ViTImageProcessor", "size": 0}, CorruptArtifactError, "at least 1"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else None,
)
def test_refused_files(values, error, message, tmp_path):
    with pytest.raises(error, match=message) as caught:
        AutoImageProcessor.from_pretrained(write(tmp_path, values))
    assert str(tmp_path) in str(caught.value)


def test_folders_without(tmp_path):
    with pytest.raises(ArtifactNotFoundError, match="has no preprocessor_config"):
        AutoImageProcessor.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"size": "large"},
        {"size": {"height": 3}},
        {"size": [1, 2, 3]},
        {"size": {"longest_edge": 30}},
        {"crop_size": -1},
        {"resample": "bicubic"},
        {"do_resize": "yes"},
        {"image_mean": []},
        {"image_std": 0},
        {"rescale_factor": 0},
        {"input_data_format": "middle"},
        {"data_format": "channels_last"},
        {"do_center_crop": True},
        {"size": None},
        {"image_mean": None},
        {"return_tensors": "pt"},
    ],
    ids=str,
)
def test_options_that_cannot_be_used(options):
    with pytest.raises(OptionError):
        ImageProcessor("ViTImageProcessor")(scene(20, 20), **options)


def test_unknown_kinds():
    with pytest.raises(OptionError, match="There is no image processor 'X'"):
        ImageProcessor("X")


def test_what_a_processor_shows():
    processor = ImageProcessor("ViTImageProcessor", {"size": 30})
    assert processor.image_mean == (0.5, 0.5, 0.5)
    assert "height" in repr(processor)
    assert processor.to_dict()["image_processor_type"] == "ViTImageProcessor"
    with pytest.raises(AttributeError, match="no 'sise'"):
        processor.sise  # noqa: B018
    rows = processor([scene(9, 9), scene(9, 9)])
    assert [row.shape for row in rows.pixel_values] == [(3, 30, 30)] * 2
    with pytest.raises(AttributeError, match="pixel_values"):
        rows.labels  # noqa: B018


def test_which_folders_read_images_alone(tmp_path):
    assert not takes_images_alone(tmp_path)
    write(tmp_path, {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000})
    assert not takes_images_alone(tmp_path)
    write(tmp_path, {"image_mean": [0.5, 0.5, 0.5], "feature_extractor_type": "ViTFeatureExtractor"})
    assert takes_images_alone(tmp_path)
    (tmp_path / "tokenizer.json").touch()
    assert not takes_images_alone(tmp_path)
