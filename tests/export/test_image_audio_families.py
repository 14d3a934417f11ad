"""Tiny random checkpoints whose input is an image or audio, exported and run without torch: PyTorch's outputs."""

import numpy as np
import pytest
import torch
import transformers

import headway.runtime
from headway.benchmarks.tiny_checkpoints import tiny_checkpoint
from headway.export import export

TOLERANCE = 1e-4
IMAGE, AUDIO, CTC = "AutoModelForImageClassification", "AutoModelForAudioClassification", "AutoModelForCTC"
BACKBONE, ZERO_SHOT = "AutoModel", "AutoModelForZeroShotImageClassification"
IMAGES = [(name, IMAGE) for name in ("vit", "swin", "convnext", "resnet", "mobilenet_v2")] + [("dinov2", BACKBONE)]
# Networks of convolutions alone take any height and width; MobileNet's code pads for the one it sees.
DYNAMIC = ("convnext", "resnet")
WAVEFORMS = [
    ("wav2vec2", CTC),
    ("hubert", AUDIO),
    ("sew", CTC),
    ("wav2vec2-conformer", CTC),
    ("data2vec-audio", BACKBONE),
]
SPECTROGRAMS = [("audio-spectrogram-transformer", AUDIO), ("whisper", AUDIO)]
TWO_TOWERS = [("clip", ZERO_SHOT), ("siglip", ZERO_SHOT)]


def exported(model_type, head, folder):
    checkpoint = tiny_checkpoint(folder / "checkpoint", model_type, head)
    report = export(checkpoint, folder / "artifact", task=head, progress=False)
    model = getattr(transformers, head).from_pretrained(checkpoint).eval()
    ours = getattr(headway.runtime, head).from_pretrained(folder / "artifact", device="cpu", num_threads=1)
    return report, model, ours


def relative_error(model, ours, inputs):
    with torch.no_grad():
        expected = model(**{name: torch.from_numpy(value) for name, value in inputs.items()}, return_dict=True)
    actual = ours(**inputs)
    pairs = [(expected[name].numpy(), value) for name, value in actual.items()]
    assert all(wanted.shape == value.shape for wanted, value in pairs)
    return max(np.abs(wanted - value).max() / np.abs(wanted).max() for wanted, value in pairs)


@pytest.mark.parametrize(("model_type", "head"), IMAGES, ids=lambda value: value.removeprefix("AutoModelFor"))
def test_images(model_type, head, tmp_path):
    report, model, ours = exported(model_type, head, tmp_path)
    spec = report.manifest.variants["fp32"].components["model"].inputs[0]
    assert (spec.shape[2:] == ("height", "width")) == (model_type in DYNAMIC)
    sides = [side if isinstance(side, int) else 97 for side in spec.shape[2:]]
    random = np.random.default_rng(0)
    for batch_size in (1, 3):
        images = random.standard_normal((batch_size, 3, *sides), dtype=np.float32)
        assert relative_error(model, ours, {"pixel_values": images}) <= TOLERANCE


@pytest.mark.parametrize(("model_type", "head"), WAVEFORMS, ids=lambda value: value.removeprefix("AutoModelFor"))
def test_waveforms(model_type, head, tmp_path):
    _, model, ours = exported(model_type, head, tmp_path)
    random = np.random.default_rng(0)
    for lengths in ([3200], [5001, 2345, 4000]):
        mask = (np.arange(max(lengths))[None] < np.array(lengths)[:, None]).astype(np.int64)
        waves = random.standard_normal(mask.shape, dtype=np.float32) * mask.astype(np.float32)
        assert relative_error(model, ours, {"input_values": waves, "attention_mask": mask}) <= TOLERANCE
        without = ours(input_values=waves, attention_mask=np.ones_like(mask))
        assert np.array_equal(ours(input_values=waves)[0], without[0])


@pytest.mark.parametrize(("model_type", "head"), SPECTROGRAMS, ids=lambda value: value.removeprefix("AutoModelFor"))
def test_spectrograms(model_type, head, tmp_path):
    report, model, ours = exported(model_type, head, tmp_path)
    spec = report.manifest.variants["fp32"].components["model"].inputs[0]
    assert spec.name == model.main_input_name
    random = np.random.default_rng(0)
    for batch_size in (1, 3):
        features = random.standard_normal((batch_size, *spec.shape[1:]), dtype=np.float32)
        assert relative_error(model, ours, {spec.name: features}) <= TOLERANCE


@pytest.mark.parametrize(("model_type", "head"), TWO_TOWERS, ids=lambda value: value.removeprefix("AutoModelFor"))
def test_texts_and_images(model_type, head, tmp_path):
    _, model, ours = exported(model_type, head, tmp_path)
    random = np.random.default_rng(0)
    side = model.config.vision_config.image_size
    end = model.config.text_config.eos_token_id
    for lengths, num_images in (([5], 3), ([9, 4, 7], 1)):
        mask = (np.arange(max(lengths))[None] < np.array(lengths)[:, None]).astype(np.int64)
        ids = random.integers(10, 900, mask.shape)
        ids[np.arange(len(lengths)), np.array(lengths) - 1] = end
        images = random.standard_normal((num_images, 3, side, side), dtype=np.float32)
        inputs = {"input_ids": ids * mask, "attention_mask": mask, "pixel_values": images}
        assert relative_error(model, ours, inputs) <= TOLERANCE
        assert ours(**inputs).logits_per_image.shape == (num_images, len(lengths))


def test_images_of_any_aspect_ratio(tmp_path):
    _, model, ours = exported("siglip2", IMAGE, tmp_path)
    random = np.random.default_rng(0)
    width = 3 * model.config.vision_config.patch_size**2
    for shapes in ([[3, 4]], [[2, 9], [7, 2], [5, 5]]):
        counts = np.prod(shapes, axis=1)
        mask = (np.arange(counts.max())[None] < counts[:, None]).astype(np.int64)
        patches = random.standard_normal((*mask.shape, width), dtype=np.float32)
        inputs = {"pixel_values": patches, "pixel_attention_mask": mask, "spatial_shapes": np.array(shapes)}
        assert relative_error(model, ours, inputs) <= TOLERANCE


@pytest.fixture(scope="module")
def clip_checkpoint(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("clip"), "clip", ZERO_SHOT)


@pytest.mark.parametrize(
    ("tower", "output"),
    [("CLIPTextModelWithProjection", "text_embeds"), ("CLIPVisionModelWithProjection", "image_embeds")],
)
def test_towers_by_their_class(tower, output, clip_checkpoint, tmp_path):
    report = export(clip_checkpoint, tmp_path / "artifact", task=tower, progress=False)
    assert (report.manifest.architecture, report.manifest.task) == (tower, "feature-extraction")
    model = getattr(transformers, tower).from_pretrained(clip_checkpoint).eval()
    ours = headway.runtime.AutoModel.from_pretrained(tmp_path / "artifact", device="cpu", num_threads=1)
    random = np.random.default_rng(0)
    if output == "text_embeds":
        inputs = {"input_ids": random.integers(10, 900, (3, 7)), "attention_mask": np.ones((3, 7), np.int64)}
    else:
        inputs = {"pixel_values": random.standard_normal((3, 3, 32, 32), dtype=np.float32)}
    assert output in ours(**inputs)
    assert relative_error(model, ours, inputs) <= TOLERANCE
