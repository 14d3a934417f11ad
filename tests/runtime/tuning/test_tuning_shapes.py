"""Shapes from text, and arrays of these shapes."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_graphs import VOCAB_SIZE

from headway.runtime.artifact import Artifact, TensorSpec
from headway.runtime.errors import OptionError
from headway.runtime.tuning.shapes import Shape, array_feeds, parse_shape, require_lengths, token_rows


@pytest.mark.parametrize(
    ("text", "shape"), [("8x128", Shape(8, 128)), (" 1X16 ", Shape(1, 16)), ("4", Shape(4))], ids=str
)
def test_shapes(text, shape):
    assert parse_shape(text) == shape
    assert parse_shape(str(shape)) == shape


@pytest.mark.parametrize("text", ["", "x", "8x", "0x3", "3x0", "8x128x2", "-1x2", "1.5x2", "²x2"])
def test_what_is_no_shape(text):
    with pytest.raises(OptionError, match="is no shape; rows x tokens are needed"):
        parse_shape(text)


def test_texts_need_lengths_that_the_model_takes():
    require_lengths([Shape(1, 12)], 12)
    require_lengths([Shape(1, 10**6)], None)
    with pytest.raises(OptionError, match="--shape 1x13 is too long: the model takes 12"):
        require_lengths([Shape(1, 13)], 12)
    with pytest.raises(OptionError, match=r"--shape 8 says no length.*such as 8x128"):
        require_lengths([Shape(8)], 12)


def test_rows_are_full_and_differ(classifier: Path):
    rows = token_rows(Artifact(classifier), Shape(3, 12), "the film was very good .\nbad film\n\na not")
    assert rows.shape == (3, 12)
    assert (rows[:, 0] == 2).all()
    assert (rows[:, -1] == 3).all()
    assert (rows[:, 1:-1] > 4).all()
    assert len({tuple(row) for row in rows.tolist()}) == 3


def test_rows_of_the_built_in_text(minilm_artifact: Path):
    rows = token_rows(Artifact(minilm_artifact), Shape(30, 200))
    assert rows.shape == (30, 200)
    assert (rows != 0).all()
    assert (rows == 100).mean() < 0.01  # [UNK]


def test_without_a_tokenizer_ids_are_random_and_in_the_vocabulary(damaged: Path):
    (damaged / "tokenizer.json").unlink()
    rows = token_rows(Artifact(damaged), Shape(4, 12))
    assert rows.shape == (4, 12)
    assert 0 <= rows.min() < rows.max() < VOCAB_SIZE


def test_arrays_of_images_and_audio(damaged: Path):
    pixels = TensorSpec("pixel_values", "float32", ("batch_size", 3, "height", "width"))
    mask = TensorSpec("attention_mask", "int64", ("batch_size", "num_samples"))
    feeds = array_feeds([pixels, mask], Shape(2, 400), Artifact(damaged))
    assert (feeds["pixel_values"].shape, feeds["pixel_values"].dtype) == ((2, 3, 224, 224), np.float32)
    assert (feeds["attention_mask"] == np.ones((2, 400))).all()
    (damaged / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 32, "width": 48}}))
    assert array_feeds([pixels], Shape(1), Artifact(damaged))["pixel_values"].shape == (1, 3, 32, 48)
    (damaged / "preprocessor_config.json").write_text(json.dumps({"size": {"shortest_edge": 64}, "crop_size": 56}))
    assert array_feeds([pixels], Shape(1), Artifact(damaged))["pixel_values"].shape == (1, 3, 56, 56)
