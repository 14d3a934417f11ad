"""Prompt lookup: transformers' candidates, and the output that there is without them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation.candidate_generator import PromptLookupCandidateGenerator

from headway.runtime.generation.history import TokenHistory
from headway.runtime.generation.sampler import make_sampler
from headway.runtime.generation.speculative import accept_candidates, lookup_candidates


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    ids=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    num_tokens=st.integers(1, 8),
    max_ngram_size=st.integers(1, 4),
    ends=st.sampled_from([(), (0,), (0, 3)]),
)
def test_candidates_as_transformers(ids, num_tokens, max_ngram_size, ends):
    theirs = PromptLookupCandidateGenerator(
        eos_token_id=torch.tensor(ends) if ends else None,
        num_output_tokens=num_tokens,
        max_matching_ngram_size=max_ngram_size,
        max_length=1000,
    )
    expected, _ = theirs.get_candidates(torch.tensor([ids]))
    got = lookup_candidates(np.array(ids), num_tokens, max_ngram_size, ends)
    assert got.tolist() == expected[0, len(ids) :].tolist()


def test_two_tokens_are_looked_up_by_default():
    assert lookup_candidates(np.array([1, 2, 9, 3, 2, 8, 1, 2]), num_tokens=2).tolist() == [9, 3]


def test_no_room_for_candidates():
    assert lookup_candidates(np.array([1, 2, 1]), num_tokens=0).tolist() == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"repetition_penalty": 1.05},
        {"no_repeat_ngram_size": 6},
        {"do_sample": True, "top_k": 5, "temperature": 0.3},
    ],
)
@pytest.mark.parametrize("num_tokens", [1, 5])
def test_the_output_is_the_one_without_candidates(drive, tiny_llama, options, num_tokens):
    """Greedy or sampled, with processors or without; and it takes fewer steps."""
    prompt = np.array([[5, 6, 7, 8, 5, 6, 7, 8, 5]])
    options = {"max_new_tokens": 40, "eos_token_id": 2, "pad_token_id": 0} | options
    driver = drive(tiny_llama)
    expected, _ = driver.search(prompt, seed=1, **options)

    _, history, config, process, stopping = driver.setup(prompt, None, options)
    sample = make_sampler(config, 1, num_rows=1)
    num_steps, is_done = 0, False
    while not is_done:
        room = config.max_length - history.length - 1
        candidates = lookup_candidates(history.row(0), min(num_tokens, room), eos_token_ids=config.eos_token_ids)
        with torch.no_grad():
            ids = torch.tensor(np.concatenate([history.row(0), candidates])[None])
            logits = tiny_llama(ids).logits[0, -1 - len(candidates) :].numpy()
        tokens, scores = accept_candidates(
            candidates, logits, history, process, sample, eos_token_ids=config.eos_token_ids
        )
        assert 1 <= len(tokens) == len(scores) <= len(candidates) + 1
        for token in tokens:
            history.append([token])
        is_done = bool(stopping(history)[0])
        num_steps += 1
    np.testing.assert_array_equal(history.ids, expected)
    assert num_steps < history.num_new_tokens


def test_nothing_is_kept_behind_an_end():
    logits = np.eye(4, dtype=np.float32)[[1, 2, 3]]
    history = TokenHistory.from_prompts([[0]])
    process, greedy = (lambda history, scores: scores), (lambda scores, rows: scores.argmax(axis=1))
    tokens, _ = accept_candidates(np.array([1, 2]), logits, history, process, greedy, eos_token_ids=[2])
    assert tokens.tolist() == [1, 2]
    tokens, _ = accept_candidates(np.array([1, 2]), logits, history, process, greedy)
    assert tokens.tolist() == [1, 2, 3]
    tokens, _ = accept_candidates(np.array([3, 2]), logits, history, process, greedy)
    assert tokens.tolist() == [1]
    assert history.length == 1
