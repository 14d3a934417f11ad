from typing import Any

import numpy as np
import pytest
import transformers
from pipeline_parity import assert_same_result
from tiny_heads import Heads

from headway.runtime import AutoTokenizer
from headway.runtime.errors import InputError, InputTypeError, OptionError
from headway.runtime.pipelines.fill_mask import top_indices

MASKS = {"mask": "[MASK]", "mask-roberta": "<mask>"}


@pytest.mark.parametrize("head", MASKS)
@pytest.mark.parametrize("options", [{}, {"top_k": 1}, {"top_k": 12}, {"targets": ["dog", "fox", "café"]}])
def test_fillings(heads: Heads, head: str, options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    mask = MASKS[head]
    padding = heads(head).tokenizer.pad_token
    texts = [f"Hello {mask}!", f"The quick {mask} fox {mask} over the {padding} lazy {mask}.", f"{mask}"]
    reference, fill = heads(head).reference("fill-mask"), heads(head).pipeline()
    assert_same_result(reference(texts, **options), fill(texts, **options))
    for text in texts:
        assert_same_result(reference(text, **options), fill(text, **options))
        assert_same_result(reference([text], **options), fill([text], **options))


def test_options_of_the_constructor(heads: Heads) -> None:
    options = {"top_k": 2, "targets": ["dog", "fox", "over"]}
    expected = heads("mask").reference("fill-mask", **options)("The [MASK].")
    assert_same_result(expected, heads("mask").pipeline(**options)("The [MASK]."))


def test_a_target_that_is_no_token_is_said(heads: Heads, caplog: pytest.LogCaptureFixture) -> None:
    expected = heads("mask").reference("fill-mask")("The [MASK].", targets=["foxdog", "dog"])
    caplog.clear()
    assert_same_result(expected, heads("mask").pipeline()("The [MASK].", targets=["foxdog", "dog"]))
    assert "'foxdog' is not in the vocabulary" in caplog.text


def test_truncation_by_tokenizer_kwargs(heads: Heads) -> None:
    text = "The [MASK]. " + "fox " * 200
    options = {"tokenizer_kwargs": {"truncation": True}}
    expected = heads("mask").reference("fill-mask")(text, **options)
    assert_same_result(expected, heads("mask").pipeline()(text, **options))


def test_a_stream(heads: Heads) -> None:
    fill = heads("mask").pipeline()
    texts = ["A [MASK].", "[MASK] dog"]
    assert list(fill(text for text in texts)) == fill(texts)


@pytest.mark.parametrize(
    ("inputs", "options", "error", "message"),
    [
        ("no mask here", {}, InputError, r"The input has no mask token; write \[MASK\]"),
        (["A [MASK]", "none"], {}, InputError, "Input 1 has no mask token"),
        ("", {}, InputError, "no mask token"),
        ("fox " * 100 + "[MASK]", {"truncation": True}, InputError, "cut off by truncation"),
        (None, {}, InputTypeError, "The input is None"),
        ([3], {}, InputTypeError, "Input 0 is 3"),
        ("A [MASK]", {"targets": []}, OptionError, "targets holds no word"),
        ("A [MASK]", {"targets": [4]}, OptionError, r"targets is \[4\]"),
        ("A [MASK]", {"top_k": 0}, OptionError, "top_k is 0"),
        ("A [MASK]", {"tokenizer_kwargs": {"stride": 2}}, OptionError, "tokenizer_kwargs has no option 'stride'"),
        ("A [MASK]", {"temperature": 1}, OptionError, "fill-mask has no option 'temperature'"),
    ],
)
def test_bad_input(heads: Heads, inputs: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        heads("mask").pipeline()(inputs, **options)


def test_a_tokenizer_without_mask_token_is_refused(heads: Heads) -> None:
    tokenizer = AutoTokenizer.from_pretrained(heads("mask").folder)
    tokenizer.mask_token = None
    with pytest.raises(InputError, match="no mask token"):
        heads("mask").pipeline(tokenizer=tokenizer)
    reference = transformers.AutoTokenizer.from_pretrained(heads("mask").folder)
    reference.mask_token = None
    with pytest.raises(Exception, match="does not define a `mask_token`"):
        transformers.pipeline("fill-mask", model=heads("mask").model, tokenizer=reference, device="cpu")


def test_an_empty_list_gives_an_empty_list(heads: Heads) -> None:
    assert heads("mask").pipeline()([]) == []


def test_top_indices_are_sorted_and_stable() -> None:
    scores = np.array([[0.1, 0.5, 0.5, 0.2], [4.0, 3.0, 2.0, 1.0]])
    assert top_indices(scores, 3).tolist() == [[1, 2, 3], [0, 1, 2]]
    assert top_indices(scores, 9).tolist() == [[1, 2, 3, 0], [0, 1, 2, 3]]
