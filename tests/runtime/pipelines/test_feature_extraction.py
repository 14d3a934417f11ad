from typing import Any

import numpy as np
import pytest
from pipeline_parity import assert_same_result
from tiny_heads import Heads

from headway.runtime.errors import InputError, InputTooLongError, InputTypeError, OptionError

TEXTS = ["Hello world!", "The quick brown fox jumps over the lazy dog.", "", "日本語 😀"]


def test_hidden_states(heads: Heads) -> None:
    reference, extract = heads("backbone").reference("feature-extraction"), heads("backbone").pipeline()
    assert_same_result(reference(TEXTS), extract(TEXTS))
    assert_same_result(reference(TEXTS[0]), extract(TEXTS[0]))
    assert_same_result(reference(TEXTS[:1]), extract(TEXTS[:1]))


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("asked", [True, "np"])
def test_arrays(heads: Heads, asked: Any, batch_size: int) -> None:
    expected = heads("backbone").reference("feature-extraction")(TEXTS, return_tensors=True)
    actual = heads("backbone").pipeline()(TEXTS, return_tensors=asked, batch_size=batch_size)
    for one, other in zip(expected, actual, strict=True):
        assert other.dtype == np.float32
        np.testing.assert_allclose(one.numpy(), other, atol=1e-4)


def test_truncation(heads: Heads) -> None:
    text = "fox " * 200
    reference, extract = heads("backbone").reference("feature-extraction"), heads("backbone").pipeline()
    assert_same_result(reference(text, truncation=True), extract(text, truncation=True))
    options = {"tokenize_kwargs": {"truncation": True, "max_length": 7, "padding": True}}
    assert_same_result(reference(text, **options), extract(text, **options))
    with pytest.raises(InputTooLongError, match="has 202 tokens"):
        extract(text)


def test_real_sentences(minilm_checkpoint: Any, minilm_artifact: Any) -> None:
    import transformers

    from headway.runtime import pipeline

    reference = transformers.pipeline("feature-extraction", model=str(minilm_checkpoint), device="cpu")
    extract = pipeline("feature-extraction", model=minilm_artifact)
    assert_same_result(reference(TEXTS), extract(TEXTS), tolerance=1e-4)


@pytest.mark.parametrize(
    ("inputs", "options", "error", "message"),
    [
        (None, {}, InputTypeError, "The input is None"),
        ([("a", "b")], {}, InputTypeError, "Input 0 is"),
        (["a", {"text": 4}], {}, InputTypeError, r"Input 1\['text'\] is 4"),
        ("\ud800", {}, InputError, r"U\+D800"),
        ("a", {"tokenize_kwargs": {"stride": 1}}, OptionError, "tokenize_kwargs has no option 'stride'"),
        ("a", {"truncation": True, "tokenize_kwargs": {"truncation": True}}, OptionError, "truncation is given twice"),
        ("a", {"pooling": "mean"}, OptionError, "feature-extraction has no option 'pooling'"),
    ],
)
def test_bad_input(heads: Heads, inputs: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        heads("backbone").pipeline()(inputs, **options)


def test_an_empty_list_gives_an_empty_list(heads: Heads) -> None:
    assert heads("backbone").pipeline()([]) == []
