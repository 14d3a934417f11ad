from typing import Any

import pytest
from pipeline_parity import assert_same_result
from tiny_heads import Heads

from headway.runtime.errors import InputError, InputTypeError, OptionError

TEXTS = ["Hello world! How are you doing today?", "The quick brown fox jumps over the lazy dog."]
LABELS = ["greeting", "animals", "code"]
TASK = "zero-shot-classification"


@pytest.mark.parametrize("head", ["nli", "nli-roberta", "entail-first"])
@pytest.mark.parametrize("labels", [LABELS, "greeting, animals,code ,", ["greeting"], "greeting"])
@pytest.mark.parametrize("options", [{}, {"multi_label": True}, {"hypothesis_template": "It is about {}!"}])
def test_labels_and_scores(heads: Heads, head: str, labels: Any, options: dict[str, Any]) -> None:
    reference, classify = heads(head).reference(TASK), heads(head).pipeline(TASK)
    assert_same_result(reference(TEXTS, labels, **options), classify(TEXTS, labels, **options))
    expected = reference(TEXTS[0], candidate_labels=labels, **options)
    assert_same_result(expected, classify(TEXTS[0], candidate_labels=labels, **options))
    assert_same_result(
        reference(TEXTS[:1], labels, **options), classify(sequences=TEXTS[:1], candidate_labels=labels, **options)
    )


def test_labels_of_equal_score_keep_transformers_order(heads: Heads) -> None:
    labels = ["Fox", "fox", "FOX"]  # one label to a tokenizer that lowers the case
    assert_same_result(heads("nli").reference(TASK)(TEXTS, labels), heads("nli").pipeline(TASK)(TEXTS, labels))


def test_a_model_without_entailment_takes_the_last_label(heads: Heads, caplog: pytest.LogCaptureFixture) -> None:
    head = heads("multi-label")
    expected = head.reference(TASK)(TEXTS, LABELS)
    caplog.clear()
    assert_same_result(expected, head.pipeline(TASK)(TEXTS, LABELS))
    assert "No label of the model starts with 'entail'" in caplog.text


def test_only_the_text_is_cut(heads: Heads, caplog: pytest.LogCaptureFixture) -> None:
    text = "fox " * 300
    expected = heads("nli").reference(TASK)(text, LABELS)
    assert_same_result(expected, heads("nli").pipeline(TASK)(text, LABELS))
    assert "3 texts were over the limit of 64 tokens" in caplog.text


def test_labels_of_each_item_as_in_json_lines(heads: Heads) -> None:
    classify = heads("nli").pipeline(TASK, candidate_labels=LABELS)
    items = [{"sequence": TEXTS[0]}, {"sequence": TEXTS[1], "candidate_labels": ["a", "b"]}]
    assert list(classify.stream(items)) == [classify(TEXTS[0]), classify(TEXTS[1], ["a", "b"])]


@pytest.mark.parametrize(
    ("inputs", "options", "error", "message"),
    [
        (TEXTS, {}, OptionError, "candidate_labels is missing"),
        (TEXTS, {"candidate_labels": []}, OptionError, "candidate_labels is .* at least one label"),
        (TEXTS, {"candidate_labels": " , "}, OptionError, "at least one label"),
        (TEXTS, {"candidate_labels": [1]}, InputTypeError, r"candidate_labels\[0\] is 1"),
        (TEXTS, {"candidate_labels": 5}, InputTypeError, "candidate_labels is 5"),
        ("", {"candidate_labels": LABELS}, InputError, "The input is an empty text"),
        (None, {"candidate_labels": LABELS}, InputTypeError, "The input is None"),
        (["a", 1], {"candidate_labels": LABELS}, InputTypeError, "Input 1 is 1"),
        (["a", "\ud800"], {"candidate_labels": LABELS}, InputError, r"Input 1 .*U\+D800"),
        (
            TEXTS,
            {"candidate_labels": LABELS, "hypothesis_template": "none"},
            OptionError,
            "hypothesis_template is 'none'",
        ),
        (
            TEXTS,
            {"candidate_labels": LABELS, "hypothesis_template": "{x}"},
            OptionError,
            "hypothesis_template is '{x}'",
        ),
        (TEXTS, {"candidate_labels": LABELS, "top_k": 1}, OptionError, "no option 'top_k'"),
    ],
)
def test_bad_input(heads: Heads, inputs: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        heads("nli").pipeline(TASK)(inputs, **options)


def test_an_empty_list_gives_an_empty_list(heads: Heads) -> None:
    assert heads("nli").pipeline(TASK)([], LABELS) == []
