"""Sizes, crops, padding and pixels beside transformers' functions, on any sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import ViTImageProcessorPil
from transformers.image_transforms import center_crop as their_center_crop
from transformers.image_transforms import get_resize_output_image_size, get_size_with_aspect_ratio
from transformers.image_utils import SizeDict, get_image_size_for_max_height_width

from headway.runtime.errors import InputError, OptionError
from headway.runtime.images.sizes import Size, by_shortest_edge, parse_size, target_pixels
from headway.runtime.images.transforms import (
    by_table,
    center_crop,
    normalize,
    pad_around,
    pad_bottom_right,
    resize,
    scale,
)

EDGES = st.integers(1, 3000)
SMALL = st.integers(1, 40)
repeatable = settings(max_examples=100, deadline=None, derandomize=True)


@repeatable
@given(EDGES, EDGES, st.integers(1, 900))
def test_shortest_edge(height, width, edge):
    image = np.broadcast_to(np.uint8(0), (3, height, width))
    expected = get_resize_output_image_size(image, edge, default_to_square=False, input_data_format="channels_first")
    assert by_shortest_edge(height, width, edge) == expected
    assert target_pixels(height, width, Size(shortest_edge=edge)) == expected


@repeatable
@given(EDGES, EDGES, st.integers(1, 900), st.integers(1, 1500))
def test_both_edges(height, width, shortest, longest):
    expected = get_size_with_aspect_ratio((height, width), shortest, longest)
    assert target_pixels(height, width, Size(shortest_edge=shortest, longest_edge=longest)) == expected


@repeatable
@given(EDGES, EDGES, st.integers(1, 900), st.integers(1, 900))
def test_limits(height, width, max_height, max_width):
    expected = get_image_size_for_max_height_width((height, width), max_height, max_width)
    assert target_pixels(height, width, Size(max_height=max_height, max_width=max_width)) == expected


@repeatable
@given(SMALL, SMALL, SMALL, SMALL)
def test_center_crops(height, width, crop_height, crop_width):
    image = np.arange(1, 3 * height * width + 1).reshape(3, height, width)
    expected = their_center_crop(image, (crop_height, crop_width), input_data_format="channels_first")
    np.testing.assert_array_equal(center_crop(image, crop_height, crop_width), expected)


@repeatable
@given(SMALL, SMALL, SMALL, SMALL, st.integers(0, 5))
def test_resizing(height, width, new_height, new_width, resample):
    image = np.random.default_rng(height * 50 + width).integers(0, 256, (3, height, width), dtype=np.uint8)
    size = SizeDict(height=new_height, width=new_width)
    expected = ViTImageProcessorPil().resize(image, size, resample)
    np.testing.assert_array_equal(resize(image, new_height, new_width, resample), expected)


def test_tables_give_what_functions_give():
    image = np.random.default_rng(0).integers(0, 256, (3, 40, 50), dtype=np.uint8)

    def function(pixels):
        return normalize(scale(pixels, 1 / 255), [0.1, 0.2, 0.3], [0.5, 0.6, 0.7])

    np.testing.assert_array_equal(by_table(image, function), function(image))
    np.testing.assert_array_equal(by_table(image.astype(np.float32), function), function(image.astype(np.float32)))


def test_padding_by_hand():
    image = np.array([[[1, 2]]])
    assert pad_bottom_right(image, 2, 3).tolist() == [[[1, 2, 0], [0, 0, 0]]]
    assert pad_around(image, 2, 5).tolist() == [[[0, 1, 2, 0, 0], [0, 0, 0, 0, 0]]]
    for pad in (pad_bottom_right, pad_around):
        with pytest.raises(InputError, match="over"):
            pad(image, 1, 1)


def test_images_too_long_to_resize_are_refused():
    with pytest.raises(InputError, match="too long and"):
        resize(np.zeros((3, 1, 9), np.uint8), 1_000_000, 1_000_000, 2)
    with pytest.raises(InputError, match="too narrow"):
        resize(np.zeros((3, 1, 9), np.uint8), 0, 4, 2)


@pytest.mark.parametrize(
    "values", [[np.nan, 0.5], [-0.1, 0.5], [0.5, 300.5], [-1, 3], [256, 0], [np.inf, 0.5]], ids=str
)
def test_values_that_no_image_has(values):
    with pytest.raises(InputError, match="Rescale them first"):
        resize(np.array([[values]]), 2, 2, 2)


def test_sizes_as_they_are_written():
    assert parse_size(5, "size") == Size(height=5, width=5)
    assert parse_size(5, "size", to_square=False) == Size(shortest_edge=5)
    assert parse_size((3, 4), "size") == Size(height=3, width=4)
    assert parse_size({"shortest_edge": 3, "longest_edge": None}, "size") == Size(shortest_edge=3)
    assert str(Size(height=3, width=4)) == "{height: 3, width: 4}"
    for value in (True, 0, "3", {}, {"height": 3}, {"height": 3.0, "width": 3}, (1,), None):
        with pytest.raises(OptionError, match=r"^size "):
            parse_size(value, "size")
