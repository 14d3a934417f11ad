from typing import Any

import pytest
from pipeline_parity import assert_same_result
from tiny_heads import Heads

from headway.runtime.errors import InputError, InputTooLongError, InputTypeError, OptionError

TEXTS = ["Hello world!", "The quick brown fox jumps over the lazy dog. It wasn't there, was it?", "", "日本語 😀"]
PAIR = {"text": "Hello world", "text_pair": "How are you?"}


@pytest.mark.parametrize("head", ["nli", "nli-roberta", "entail-first", "one-label", "regression", "multi-label"])
def test_labels_and_scores(heads: Heads, head: str) -> None:
    reference, classify = heads(head).reference("text-classification"), heads(head).pipeline("text-classification")
    assert_same_result(reference(TEXTS), classify(TEXTS))
    assert_same_result(reference(TEXTS, top_k=None), classify(TEXTS, top_k=None))


@pytest.mark.parametrize("inputs", [TEXTS[0], TEXTS, TEXTS[:1], PAIR, [PAIR, PAIR], [[["Hello", "world"]]]])
@pytest.mark.parametrize("options", [{}, {"top_k": 1}, {"top_k": 2}, {"top_k": 9}, {"top_k": None}])
@pytest.mark.parametrize("given", ["call", "constructor"])
def test_nesting(heads: Heads, inputs: Any, options: dict[str, Any], given: str) -> None:
    head = heads("nli")
    made, called = (options, {}) if given == "constructor" else ({}, options)
    expected = head.reference("text-classification", **made)(inputs, **called)
    assert_same_result(expected, head.pipeline("text-classification", **made)(inputs, **called))


@pytest.mark.parametrize("function", ["sigmoid", "softmax", "none", "SOFTMAX"])
def test_function_to_apply(heads: Heads, function: str) -> None:
    head = heads("nli")
    expected = head.reference("text-classification")(TEXTS, function_to_apply=function, top_k=None)
    assert_same_result(expected, head.pipeline()(TEXTS, function_to_apply=function, top_k=None))


def test_a_generator_is_answered_in_order(heads: Heads) -> None:
    head = heads("nli")
    expected = list(head.reference("text-classification")(text for text in TEXTS))
    answers = head.pipeline()(text for text in TEXTS)
    assert next(answers) == head.pipeline()(TEXTS)[0]
    assert_same_result(expected[1:], list(answers))


def test_a_tuple_of_two_texts_is_a_pair(heads: Heads) -> None:
    classify = heads("nli").pipeline()
    assert classify(("Hello world", "How are you?")) == classify(PAIR)
    assert classify([("Hello world", "How are you?")]) == [classify(PAIR)]


def test_an_empty_second_text_is_none(heads: Heads) -> None:
    head = heads("nli")
    pair = {"text": "Hello world", "text_pair": ""}
    assert_same_result(head.reference("text-classification")(pair), head.pipeline()(pair))


def test_sentiment_analysis_is_an_alias(heads: Heads) -> None:
    assert heads("nli").pipeline("sentiment-analysis")("Hello") == heads("nli").pipeline()("Hello")


def test_truncation_as_in_transformers(heads: Heads) -> None:
    head = heads("nli")
    texts = ["fox " * 300, "short", ("dog " * 200) + "fox"]
    expected = head.reference("text-classification")(texts, truncation=True)
    assert_same_result(expected, head.pipeline()(texts, truncation=True))
    expected = head.reference("text-classification")(texts, truncation=True, max_length=9)
    assert_same_result(expected, head.pipeline()(texts, truncation=True, max_length=9))


@pytest.mark.parametrize("options", [{}, {"truncation": False}, {"truncation": "error"}])
def test_a_text_over_the_limit_is_an_error(heads: Heads, options: dict[str, Any]) -> None:
    with pytest.raises(InputTooLongError, match=r"Input 1 has \d+ tokens; the limit is 64"):
        heads("nli").pipeline()(["short", "fox " * 300], **options)


def test_a_cut_is_logged_with_its_count(heads: Heads, caplog: pytest.LogCaptureFixture) -> None:
    heads("nli").pipeline()(["short", "fox " * 300, "dog " * 90], truncation="warn")
    assert [record.name for record in caplog.records] == ["headway"]
    assert "2 texts were over the limit of 64 tokens" in caplog.text


def test_an_asked_for_cut_is_not_logged(heads: Heads, caplog: pytest.LogCaptureFixture) -> None:
    heads("nli").pipeline()(["fox " * 300], truncation=True)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (None, InputTypeError, "The input is None"),
        (3, InputTypeError, r"The input is 3 \(int\)"),
        (b"bytes", InputTypeError, "bytes"),
        ([None], InputTypeError, "Input 0 is None"),
        (["fine", 2.5], InputTypeError, "Input 1 is 2.5"),
        ([["Hello", "world"]], InputTypeError, "'text_pair'"),
        ([{"text": "a", "text_pair": 5}], InputTypeError, r"Input 0\['text_pair'\] is 5"),
        ([{"text_pair": "b"}], InputError, "lacks 'text'"),
        ({"text": "a", "other": "b"}, InputError, "unknown key 'other'"),
        ({"text": None}, InputTypeError, r"The input\['text'\] is None"),
        (["fine", "lone \ud800"], InputError, r"Input 1 .*U\+D800"),
        ([("a", "lone \udfff")], InputError, r"Input 0 .*U\+DFFF"),
    ],
)
def test_bad_input(heads: Heads, inputs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        heads("nli").pipeline()(inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "top_k is 0"),
        ({"top_k": "two"}, "top_k is 'two'"),
        ({"function_to_apply": "tanh"}, "function_to_apply is 'tanh'"),
        ({"return_all_scores": True}, "text-classification has no option 'return_all_scores'; it takes .*top_k"),
        ({"truncation": "sometimes"}, "truncation is 'sometimes'"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"max_length": "long"}, "max_length is 'long'"),
    ],
)
def test_bad_options(heads: Heads, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        heads("nli").pipeline()("Hello", **options)
    with pytest.raises(OptionError, match=message):
        heads("nli").pipeline(**options)


def test_an_empty_list_gives_an_empty_list(heads: Heads) -> None:
    assert heads("nli").pipeline()([]) == []
