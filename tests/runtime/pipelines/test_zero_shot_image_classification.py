"""Images to any labels, beside transformers' pipeline: softmax of CLIP, sigmoid of SigLIP."""

import logging

import pytest
from pipeline_parity import assert_same_result
from sample_images import PIL_IMAGES, scene

from headway.runtime import pipeline
from headway.runtime.errors import InputError, OptionError

LABELS = ["two quick dogs", "a fox", "señor Åse's house", "2"]


@pytest.fixture(scope="module", params=["clip", "siglip", "siglip2"])
def pair(request, image_heads):
    head = image_heads(request.param)
    return head.theirs(), pipeline(model=str(head.artifact), device="cpu", num_threads=1)


def test_from_the_raw_image(pair, photo):
    theirs, ours = pair
    assert_same_result(theirs(str(photo), candidate_labels=LABELS), ours(str(photo), candidate_labels=LABELS))
    images = [PIL_IMAGES[name]() for name in ("photo", "tall", "grayscale", "rgba", "rotated")]
    expected = theirs(images, candidate_labels=LABELS)
    assert_same_result(expected, ours(images, LABELS))
    assert_same_result(expected, ours(images, LABELS, batch_size=2))


def test_templates_and_single_labels(pair, photo):
    theirs, ours = pair
    for options in (
        {"candidate_labels": LABELS, "hypothesis_template": "{}"},
        {"candidate_labels": ["a fox"], "hypothesis_template": "A painting of {}, surely"},
    ):
        assert_same_result(theirs(str(photo), **options), ours(str(photo), **options))


def test_labels_of_their_own(pair):
    _, ours = pair
    images = [scene(40, 30), scene(30, 50, seed=1), scene(25, 25, seed=2)]
    own = [LABELS, LABELS[:2], LABELS]
    items = [{"image": image, "candidate_labels": labels} for image, labels in zip(images, own, strict=True)]
    expected = [ours(image, candidate_labels=labels) for image, labels in zip(images, own, strict=True)]
    assert_same_result(expected, ours(items))


def test_labels_separated_by_commas(pair):
    _, ours = pair
    image = scene(40, 30)
    assert ours(image, candidate_labels="a fox, 2") == ours(image, candidate_labels=["a fox", "2"])


def test_saved_pipelines_load(pair, photo, tmp_path):
    _, ours = pair
    ours.save_pretrained(tmp_path)
    other = pipeline("zero-shot-image-classification", str(tmp_path), device="cpu", num_threads=1)
    assert other(photo, candidate_labels=LABELS) == ours(photo, candidate_labels=LABELS)


def test_texts_over_the_limit_are_not_cut_in_silence(image_heads, caplog):
    long = "internationalization " * 40
    clip = pipeline(model=str(image_heads("clip").artifact), device="cpu")
    with pytest.raises(InputError, match=r"^The text of the label 'inter.* tokens; the model takes 40"):
        clip(scene(30, 30), candidate_labels=[long])
    siglip = pipeline(model=str(image_heads("siglip").artifact), device="cpu")
    with caplog.at_level(logging.WARNING, "headway"):
        found = siglip(PIL_IMAGES["small"](), candidate_labels=[long])
    assert "64" in caplog.text
    assert_same_result(image_heads("siglip").theirs()(PIL_IMAGES["small"](), candidate_labels=[long]), found)


@pytest.mark.parametrize(
    "options",
    [{}, {"candidate_labels": []}, {"candidate_labels": ["a"], "hypothesis_template": "no place"}],
    ids=str,
)
def test_bad_options(pair, options):
    with pytest.raises(OptionError):
        pair[1](scene(9, 9), **options)
