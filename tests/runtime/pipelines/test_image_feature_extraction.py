"""Images to hidden states, beside transformers' pipeline."""

import numpy as np
import pytest
from pipeline_parity import assert_same_result
from sample_images import PIL_IMAGES

from headway.runtime import pipeline
from headway.runtime.errors import InputError, InputTypeError, OptionError


@pytest.fixture(scope="module")
def pair(image_heads):
    head = image_heads("backbone")
    return head.theirs(), pipeline(model=str(head.artifact), device="cpu", num_threads=1)


def test_a_backbone_that_reads_images_finds_its_pipeline(pair):
    assert type(pair[1]).__name__ == "ImageFeatureExtractionPipeline"


def test_from_the_raw_image(pair, photo):
    theirs, ours = pair
    assert_same_result(theirs(str(photo)), ours(str(photo)))
    images = [PIL_IMAGES[name]() for name in ("photo", "wide", "palette")]
    assert_same_result(theirs(images), ours(images))


def test_options(pair, photo):
    theirs, ours = pair
    assert_same_result(theirs(str(photo), pool=True), ours(str(photo), pool=True))
    tensors = ours(str(photo), return_tensors=True)
    assert tensors.dtype == np.float32
    np.testing.assert_allclose(tensors, theirs(str(photo), return_tensors=True).numpy(), atol=1e-4)
    options = {"image_processor_kwargs": {"do_normalize": False, "resample": 0}}
    assert_same_result(theirs(str(photo), **options), ours(str(photo), **options))


def test_sizes_that_the_graph_does_not_take(pair, photo):
    options = {"image_processor_kwargs": {"size": {"height": 40, "width": 32}}}
    with pytest.raises(InputError, match="40"):
        pair[1](str(photo), **options)


def test_bad_options(pair, photo):
    with pytest.raises(InputTypeError):
        pair[1](photo, image_processor_kwargs=7)
    with pytest.raises(OptionError):
        pair[1](photo, image_processor_kwargs={"sise": 7})
    with pytest.raises(OptionError):
        pair[1](photo, pool="yes")
