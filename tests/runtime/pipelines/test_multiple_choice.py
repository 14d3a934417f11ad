from typing import Any

import numpy as np
import pytest
import torch
from tiny_heads import Head, Heads

from headway.runtime.errors import InputError, InputTooLongError, InputTypeError, OptionError

ITEMS = [
    {"prompt": "The quick fox", "choices": ["jumps over the lazy dog.", "was there", "日本語"]},
    {"prompt": "Hello world!", "choices": ["How are you doing today, my friend?", "fox"]},
    {"prompt": "It wasn't there,", "choices": ["was it?", "1234567890", "ok " * 20]},
    {"prompt": "only", "choices": ["one"]},
]


def expected_scores(head: Head, item: dict[str, Any]) -> list[float]:
    """Probabilities as transformers' guide to multiple choice computes them."""
    prompts = [item["prompt"]] * len(item["choices"])
    inputs = head.tokenizer(prompts, item["choices"], return_tensors="pt", padding=True)
    with torch.no_grad():
        logits = head.model(**{name: value.unsqueeze(0) for name, value in inputs.items()}).logits
    return logits.softmax(-1)[0].tolist()


@pytest.mark.parametrize("options", [{}, {"batch_size": 1}, {"max_batch_tokens": 100}])
def test_scores(heads: Heads, options: dict[str, Any]) -> None:
    results = heads("choice").pipeline()(ITEMS, **options)
    for item, result in zip(ITEMS, results, strict=True):
        assert [entry["score"] for entry in result] == sorted((entry["score"] for entry in result), reverse=True)
        assert [item["choices"][entry["index"]] for entry in result] == [entry["label"] for entry in result]
        by_index = [entry["score"] for entry in sorted(result, key=lambda entry: entry["index"])]
        np.testing.assert_allclose(by_index, expected_scores(heads("choice"), item), atol=1e-4)


def test_batches_keep_the_budget(heads: Heads, monkeypatch: pytest.MonkeyPatch) -> None:
    choose = heads("choice").pipeline(max_batch_tokens=150)
    shapes = []
    run_batch = choose.runner.run_batch
    monkeypatch.setattr(
        choose.runner, "run_batch", lambda batch: shapes.append(batch.input_ids.shape) or run_batch(batch)
    )
    choose([*ITEMS, *ITEMS])
    assert sum(items for items, _, _ in shapes) == 2 * len(ITEMS)
    assert all(items * choices * tokens <= 150 or items == 1 for items, choices, tokens in shapes)
    assert max(items for items, _, _ in shapes) > 1


def test_ways_to_ask(heads: Heads) -> None:
    choose = heads("choice").pipeline()
    expected = choose(ITEMS[0])
    assert choose(ITEMS[0]["prompt"], ITEMS[0]["choices"]) == choose([ITEMS[0]])[0] == expected
    assert list(choose.stream(iter([ITEMS[0]]))) == [expected]
    assert choose(ITEMS[0], top_k=1) == expected[:1]


@pytest.mark.parametrize(
    ("inputs", "options", "error", "message"),
    [
        (None, {}, InputTypeError, "The input is None"),
        ("a prompt alone", {}, InputTypeError, "dict with 'prompt', 'choices'"),
        ({"prompt": "a", "choices": []}, {}, InputError, r"\['choices'\] is empty"),
        ({"prompt": "a", "choices": "b"}, {}, InputTypeError, r"\['choices'\] is 'b'"),
        ({"prompt": 1, "choices": ["b"]}, {}, InputTypeError, r"\['prompt'\] is 1"),
        ([{"prompt": "a"}], {}, InputError, "Input 0 lacks 'choices'"),
        ([ITEMS[0], {"prompt": "a", "choices": ["b", "\ud800"]}], {}, InputError, r"Input 1 .*U\+D800"),
        ({"prompt": "a", "choices": ["fox " * 200]}, {}, InputTooLongError, "the limit is 64"),
        (ITEMS, {"top_k": 0}, OptionError, "top_k is 0"),
        (ITEMS, {"labels": 1}, OptionError, "no option 'labels'"),
    ],
)
def test_bad_input(heads: Heads, inputs: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        heads("choice").pipeline()(inputs, **options)


def test_an_empty_list_gives_an_empty_list(heads: Heads) -> None:
    assert heads("choice").pipeline()([]) == []
