import numpy as np
import pytest
import torch
from tiny_heads import Heads

from headway.runtime.errors import InputError

PAIRS = [("Hello world!", "How are you?"), ("The quick fox", "jumps over the lazy dog.")]


def test_scores(heads: Heads) -> None:
    head = heads("next-sentence")
    results = head.pipeline()(PAIRS, top_k=None)
    for (text, text_pair), result in zip(PAIRS, results, strict=True):
        with torch.no_grad():
            logits = head.model(**head.tokenizer(text, text_pair, return_tensors="pt")).logits
        scores = {entry["label"]: entry["score"] for entry in result}
        expected = logits.softmax(-1)[0].tolist()
        np.testing.assert_allclose([scores["is_next"], scores["not_next"]], expected, atol=1e-4)


def test_a_pair_gives_its_best_label(heads: Heads) -> None:
    predict = heads("next-sentence").pipeline()
    assert predict(PAIRS[0]) == predict(PAIRS)[0]
    assert set(predict(PAIRS[0])) == {"label", "score"}


@pytest.mark.parametrize("inputs", ["one text", {"text": "one text"}, [PAIRS[0], "one text"]])
def test_a_text_alone_is_refused(heads: Heads, inputs: object) -> None:
    with pytest.raises(InputError, match="has no second text"):
        heads("next-sentence").pipeline()(inputs)
