"""Stop strings against transformers' StopStringCriteria, on tokenizers of every kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer as TransformersTokenizer
from transformers.generation.stopping_criteria import StopStringCriteria

from headway.runtime.errors import OptionError
from headway.runtime.generation.history import TokenHistory
from headway.runtime.generation.stop_strings import StopStrings, token_text_of
from headway.runtime.tokenization.tokenizer import AutoTokenizer

RELAXED = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SENTENCES = ["stop", "the stop", "don't stop now", "they stopped", "a stopper, stop.", "naïve café stop", "s t o p"]


def verdicts(tokenizer, theirs, rows, stop_strings):
    """Ours and transformers' after every token of every row."""
    ours = StopStrings(stop_strings, token_text_of(tokenizer))
    criteria = StopStringCriteria(theirs, stop_strings)
    for row in rows:
        for end in range(1, len(row) + 1):
            ids = np.array([row[:end]])
            got = ours(TokenHistory.from_prompts(ids), None)
            assert got.dtype == bool
            yield bool(got[0]), bool(criteria(torch.tensor(ids), None)[0])


@RELAXED
@given(
    stop_strings=st.lists(
        st.sampled_from(["stop", "the", "op", "e s", "n't", ".", "é", "stop now", "t"]),
        min_size=1,
        max_size=2,
        unique=True,
    ),
    seed=st.integers(0, 2**31),
)
def test_after_every_token_as_transformers(small_tokenizer, stop_strings, seed):
    rng = np.random.default_rng(seed)
    sentence = small_tokenizer.encode(SENTENCES[seed % len(SENTENCES)], add_special_tokens=False)
    noise = rng.integers(0, len(small_tokenizer), 6).tolist()
    try:
        StopStringCriteria(small_tokenizer, stop_strings)
    except ValueError:
        return  # transformers gives up where no token of the vocabulary matches
    for got, expected in verdicts(small_tokenizer, small_tokenizer, [sentence, noise + sentence], stop_strings):
        assert got == expected


@pytest.mark.parametrize("fixture", ["smollm2_checkpoint", "t5_title_checkpoint"])
def test_real_tokenizers(request, fixture):
    folder = request.getfixturevalue(fixture)
    tokenizer, theirs = AutoTokenizer.from_pretrained(folder), TransformersTokenizer.from_pretrained(folder)
    rows = [theirs.encode(sentence) for sentence in [*SENTENCES, "He said: STOP!\nUser: hello"]]
    for stop_strings in (["stop"], ["op", "\nUser:"]):
        results = list(verdicts(tokenizer, theirs, rows, stop_strings))
        assert all(got == expected for got, expected in results)
        assert any(got for got, _ in results)


def text_of(token_id):
    return {0: b"st", 1: b"op", 2: b"stop", 3: b"opera", 4: b"las", 5: b"topper", 6: b"at", 7: b"", 8: b"s"}.get(
        token_id
    )


@pytest.mark.parametrize(
    ("row", "is_done"),
    [
        ([0, 1], True),
        ([2], True),
        ([0, 3], True),
        ([4, 5], True),
        ([2, 6], False),
        ([0, 1, 6], False),
        ([0, 7, 1], True),
        ([2, 7], False),
        ([0, 99, 1], False),
        ([99], False),
        ([2, 2], True),
    ],
)
def test_the_match_has_to_reach_into_the_newest_token(row, is_done):
    assert StopStrings(["stop"], text_of).is_completed(row) is is_done


def test_padding_is_no_part_of_a_row():
    history = TokenHistory.from_prompts([[8, 5], [4, 5]], [[0, 1], [1, 1]])
    assert StopStrings(["stop"], text_of)(history, None).tolist() == [False, True]


def test_a_tokenizer_that_is_none():
    with pytest.raises(OptionError, match="tokenizer is a dict; pass the one of AutoTokenizer"):
        token_text_of({})
