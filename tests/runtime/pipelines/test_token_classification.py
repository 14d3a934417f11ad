from typing import Any

import numpy as np
import pytest
from pipeline_parity import assert_same_result
from tiny_heads import MAX_LENGTH, Heads

from headway.runtime.errors import InputError, InputTooLongError, InputTypeError, OptionError
from headway.runtime.pipelines.entities import without_overlaps

TEXTS = [
    "Hello world! How are you doing today, my friend?",
    "Déjà vu: naïve café façade — señor Åse's Straße.",
    "日本語 テスト tokenization internationalization 😀",
    "The quick brown fox jumps over the lazy dog. It wasn't there, was it? How are you, my friend?",
    "",
]
STRATEGIES = ["none", "simple", "first", "average", "max"]
LONG = "The quick brown fox jumps over the lazy dog. It wasn't there, was it? " * 12


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("head", ["ner", "ner-roberta"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy(heads: Heads, head: str, strategy: str) -> None:
    expected = heads(head).reference("token-classification", aggregation_strategy=strategy)(TEXTS)
    actual = heads(head).pipeline(aggregation_strategy=strategy)(TEXTS)
    assert len({entity.get("entity", entity.get("entity_group")) for entities in expected for entity in entities}) > 1
    assert_same_result(expected, actual)
    assert_same_result(expected[0], heads(head).pipeline()(TEXTS[0], aggregation_strategy=strategy))


@pytest.mark.parametrize("strategy", ["none", "average"])
@pytest.mark.parametrize("ignored", [[], ["O", "B-PER", "PER"]])
def test_ignored_labels(heads: Heads, strategy: str, ignored: list[str]) -> None:
    options = {"aggregation_strategy": strategy, "ignore_labels": ignored}
    expected = heads("ner").reference("ner", **options)(TEXTS)
    assert_same_result(expected, heads("ner").pipeline("ner", **options)(TEXTS))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_unknown_tokens_are_shown_as_written(heads: Heads, strategy: str) -> None:
    text = "fox \u4e00\u2603x dog jump\u2603 ΨΩψ over"
    assert heads("ner").tokenizer.unk_token_id in heads("ner").tokenizer(text)["input_ids"]
    options = {"aggregation_strategy": strategy, "ignore_labels": []}
    expected = heads("ner").reference("ner", **options)(text)
    assert_same_result(expected, heads("ner").pipeline(**options)(text))
    assert "ΨΩψ" in "".join(entity["word"] for entity in expected)


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("head", ["ner", "ner-roberta"])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("delimiter", [None, "--"])
def test_words(heads: Heads, head: str, strategy: str, delimiter: str | None) -> None:
    words = ["Hello", "internationalization", "Åse's", "日本語", "x"]
    options = {"is_split_into_words": True, "delimiter": delimiter, "aggregation_strategy": strategy}
    reference, find = heads(head).reference("ner", aggregation_strategy=strategy), heads(head).pipeline()
    call = {"is_split_into_words": True, "delimiter": delimiter}
    assert_same_result(reference(words, **call), find(words, **options))
    assert_same_result(reference([words, words[::-1]], **call), find([words, words[::-1]], **options))


@pytest.mark.parametrize("stride", [0, 5, 20])
@pytest.mark.parametrize("strategy", ["simple", "max"])
def test_a_long_text_in_pieces(heads: Heads, stride: int, strategy: str) -> None:
    options = {"aggregation_strategy": strategy, "stride": stride}
    expected = heads("ner").reference("ner", **options)([LONG, "short", LONG[:300]])
    assert len(expected[0]) > 20
    assert_same_result(expected, heads("ner").pipeline(**options)([LONG, "short", LONG[:300]]))


def test_a_long_text_is_cut_as_in_transformers_and_said(heads: Heads, caplog: pytest.LogCaptureFixture) -> None:
    expected = heads("ner").reference("ner")([LONG, "short"])
    assert_same_result(expected, heads("ner").pipeline()([LONG, "short"]))
    assert f"1 text was over the limit of {MAX_LENGTH} tokens" in caplog.text


def test_a_long_text_may_be_refused(heads: Heads) -> None:
    with pytest.raises(InputTooLongError, match=r"Input 1 has \d+ tokens; the limit is 64"):
        heads("ner").pipeline()(["short", LONG], truncation="error")


def test_a_stream(heads: Heads) -> None:
    find = heads("ner").pipeline(aggregation_strategy="simple")
    assert list(find(text for text in TEXTS)) == find(TEXTS)


@pytest.mark.parametrize(
    ("inputs", "options", "error", "message"),
    [
        (None, {}, InputTypeError, "The input is None"),
        (["fine", 7], {}, InputTypeError, "Input 1 is 7"),
        ([["a", "b"]], {}, InputTypeError, r"Input 0 is \['a', 'b'\]"),
        ([["a", None]], {"is_split_into_words": True}, InputTypeError, r"Input 0\[1\] is None"),
        ("a text", {"is_split_into_words": True}, InputTypeError, "list of words"),
        ("lone \ud800", {}, InputError, r"U\+D800"),
        ("a", {"aggregation_strategy": "some"}, OptionError, "aggregation_strategy is 'some'"),
        ("a", {"stride": 5}, OptionError, "stride=5 needs an aggregation_strategy"),
        ("a", {"stride": 64, "aggregation_strategy": "max"}, OptionError, "stride is 64; it must be below"),
        ("a", {"stride": -1}, OptionError, "stride is -1"),
        ("a", {"grouped_entities": True}, OptionError, "no option 'grouped_entities'"),
    ],
)
def test_bad_input(heads: Heads, inputs: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        heads("ner").pipeline()(inputs, **options)


def test_an_empty_list_gives_an_empty_list(heads: Heads) -> None:
    assert heads("ner").pipeline()([]) == []


def test_words_told_by_spaces_are_said_once(heads: Heads, caplog: pytest.LogCaptureFixture) -> None:
    find = heads("ner-roberta").pipeline(aggregation_strategy="first")
    find("Hello world")
    find("Hello world")
    assert len(caplog.records) == 1
    assert "words are told by the spaces" in caplog.text


def test_of_overlapping_entities_the_longer_stays() -> None:
    def entity(start: int, end: int, score: float) -> dict[str, Any]:
        return {"start": start, "end": end, "score": score}

    found = [entity(10, 12, 0.9), entity(0, 4, 0.5), entity(1, 9, 0.1), entity(10, 12, 0.95)]
    assert without_overlaps(found) == [entity(1, 9, 0.1), entity(10, 12, 0.95)]
    assert without_overlaps([]) == []
    assert np.isclose(without_overlaps(found)[0]["score"], 0.1)
