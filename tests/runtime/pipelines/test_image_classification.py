"""Images to labels, beside transformers' pipeline from the raw image on."""

import base64

import numpy as np
import pytest
from pipeline_parity import assert_same_result
from sample_images import PIL_IMAGES, scene

from headway.runtime import AutoModelForImageClassification, pipeline
from headway.runtime.errors import InputError, InputTypeError, OptionError, TaskError

HEADS = ("vit", "convnext", "swin", "imagegpt")
MODES = ("photo", "tall", "pixel", "grayscale", "palette", "rgba", "cmyk", "16-bit", "rotated")


@pytest.fixture(scope="module")
def vit(image_heads):
    return pipeline("image-classification", str(image_heads("vit").artifact), device="cpu", num_threads=1)


@pytest.mark.parametrize("name", HEADS)
def test_from_the_raw_image(image_heads, photo, name):
    head = image_heads(name)
    ours, theirs = pipeline(model=str(head.artifact), device="cpu"), head.theirs()
    assert_same_result(theirs(str(photo)), ours(str(photo)))
    images = [PIL_IMAGES[mode]() for mode in MODES]
    assert_same_result(theirs(images), ours(images))
    assert_same_result(theirs(images, batch_size=1), ours(images, batch_size=2))


def test_options(image_heads, vit, photo):
    theirs = image_heads("vit").theirs()
    path = str(photo)
    for options in (
        {"top_k": 2},
        {"top_k": 100},
        {"function_to_apply": "sigmoid"},
        {"function_to_apply": "none", "top_k": 3},
        {"function_to_apply": "SOFTMAX"},
    ):
        assert_same_result(theirs(path, **options), vit(path, **options))
        assert_same_result(theirs([path, path], **options), vit([path, path], **options))
    assert len(vit(path, top_k=None)) == 7
    assert vit(images=path) == vit(path)


@pytest.mark.parametrize(
    "config",
    [{"problem_type": "multi_label_classification"}, {"problem_type": "regression"}, {"id2label": {0: "only"}}],
    ids=str,
)
def test_the_config_chooses_the_function(image_heads, photo, config):
    head = image_heads("vit")
    theirs, ours = head.theirs(), pipeline("image-classification", str(head.artifact), device="cpu")
    for name, value in config.items():
        setattr(theirs.model.config, name, value)
        ours.model.config._values[name] = value
    if "id2label" in config:
        logits = ours.model(**ours.image_processor(str(photo), return_tensors="np")).logits
        ours.model.session.run = lambda feeds, names=None: [logits[:, :1]]
        assert ours(str(photo))[0]["score"] == pytest.approx(1 / (1 + np.exp(-logits[0, 0])))
        return
    assert_same_result(theirs(str(photo)), ours(str(photo)))


def test_every_kind_of_source_gives_the_same(vit, photo):
    expected = vit(str(photo))
    content = photo.read_bytes()
    encoded = base64.b64encode(content).decode()
    for source in (photo, content, bytearray(content), f"data:image/png;base64,{encoded}", encoded, {"image": content}):
        assert vit(source) == expected
    pixels = scene(233, 317)
    for array in (pixels, np.moveaxis(pixels, -1, 0)):
        assert_same_result(expected, vit(array))
    assert vit(np.stack([pixels, pixels]), batch_size=1) == [expected, expected]


def test_a_model_by_hand(image_heads, photo):
    from headway.runtime import AutoImageProcessor

    head = image_heads("vit")
    model = AutoModelForImageClassification.from_pretrained(head.artifact, device="cpu")
    inputs = AutoImageProcessor.from_pretrained(head.artifact)(str(photo), return_tensors="np")
    theirs = head.theirs()
    expected = theirs.model(**theirs.image_processor(PIL_IMAGES["photo"](), return_tensors="pt")).logits
    np.testing.assert_allclose(model(**inputs).logits, expected.detach().numpy(), atol=1e-4)


def test_streams_hold_two_windows_at_most(vit):
    taken = 0

    def images():
        nonlocal taken
        for seed in range(80):
            taken += 1
            yield scene(20, 24, seed=seed)

    results = vit(images(), top_k=1)
    first = next(results)
    assert taken <= 2 * vit.window_size
    rest = list(results)
    assert [first, *rest] == vit([scene(20, 24, seed=seed) for seed in range(80)], top_k=1)


def test_empty_lists_give_empty_lists(vit):
    assert vit([]) == []


def test_saved_pipelines_load(vit, photo, tmp_path):
    vit.save_pretrained(tmp_path)
    assert pipeline("image-classification", str(tmp_path), device="cpu", num_threads=1)(photo) == vit(photo)


def test_a_processor_of_ones_own(image_heads, vit, photo):
    head = image_heads("vit")
    other = pipeline(
        "image-classification", str(head.artifact), image_processor=head.checkpoint, device="cpu", num_threads=1
    )
    assert other(photo) == vit(photo)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        ("nowhere.png", InputError, "The input: there is no file 'nowhere.png'"),
        (b"not an image", InputError, "cannot be read as an image"),
        ("http://localhost/a.png", InputError, "allow_urls=True"),
        (np.zeros((4, 4), np.uint8), InputError, r"shape \(4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), InputError, "no pixels"),
        (np.full((8, 8, 3), 700.0), InputError, "must be 0 to 255"),
        ({"picture": b""}, InputError, "lacks 'image'"),
        (7, InputTypeError, "an image"),
        (None, InputTypeError, "an image"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str | bytes) else type(value).__name__,
)
def test_what_is_no_image(vit, image, error, message):
    with pytest.raises(error, match=message):
        vit(image)


def test_messages_name_the_item(vit):
    with pytest.raises(InputError, match=r"^Input 1: there is no file"):
        vit([scene(9, 9), "nowhere.png"])
    with pytest.raises(InputError, match=r"^Input 2: The image is an array of shape \(5, 6, 7\)"):
        vit([scene(9, 9), scene(9, 9), np.zeros((5, 6, 7), np.uint8)])


@pytest.mark.parametrize(
    "options",
    [{"top_k": 0}, {"top_k": "best"}, {"function_to_apply": "tanh"}, {"allow_urls": "yes"}, {"timeout": 0}, {"x": 1}],
    ids=str,
)
def test_bad_options(vit, options):
    with pytest.raises(OptionError):
        vit(scene(9, 9), **options)


def test_another_head_is_refused(image_heads):
    with pytest.raises(TaskError):
        pipeline("zero-shot-image-classification", str(image_heads("vit").artifact))
