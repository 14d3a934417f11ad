"""Titles of a real T5, token for token like transformers', greedy and with beams, alone and in a ragged batch."""

import pytest

from headway.benchmarks.parity import SAME, TITLE_TOKENS, title_references, verdict
from headway.benchmarks.parity_prompts import TITLE_TEXTS
from headway.runtime import AutoModelForSeq2SeqLM, AutoTokenizer


@pytest.fixture(scope="module")
def ours(t5_title_artifact):
    return AutoModelForSeq2SeqLM.from_pretrained(t5_title_artifact, device="cpu")


@pytest.fixture(scope="module")
def tokenizer(t5_title_artifact):
    return AutoTokenizer.from_pretrained(t5_title_artifact)


@pytest.fixture(scope="module", params=[1, 4], ids=["greedy", "4 beams"])
def expected(request, t5_title_checkpoint, tokenizer):
    """How many beams, and what transformers writes with them for each text by itself."""
    return request.param, title_references(t5_title_checkpoint, tokenizer, request.param)


def titles(model, inputs, num_beams):
    """New tokens of every row."""
    return model.generate(**inputs, num_beams=num_beams, do_sample=False, max_new_tokens=TITLE_TOKENS)[:, 1:].tolist()


def test_each_text_alone(ours, tokenizer, expected):
    num_beams, references = expected
    for text, reference in zip(TITLE_TEXTS, references, strict=True):
        inputs = tokenizer(text, return_tensors="np")
        tokens = titles(ours, inputs, num_beams)[0]
        assert tokens == reference.tokens, text


@pytest.mark.parametrize("side", ["left", "right"])
def test_ragged_batch(ours, tokenizer, expected, side):
    num_beams, references = expected
    inputs = tokenizer(list(TITLE_TEXTS), padding=True, padding_side=side, return_tensors="np")
    rows = titles(ours, inputs, num_beams)
    assert len({len(reference.tokens) for reference in references}) > 1
    for text, row, reference in zip(TITLE_TEXTS, rows, references, strict=True):
        assert verdict(row, reference) == SAME, text
