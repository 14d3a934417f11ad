"""Processed scores of every option, against transformers' own processors."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.runtime.errors import InputError, OptionError
from headway.runtime.generation.config import GenerationConfig
from headway.runtime.generation.config_resolve import resolve_config, resolve_lengths
from headway.runtime.generation.history import TokenHistory
from headway.runtime.generation.logits import build_processors

VOCAB_SIZE = 60
TOLERANCE = 1e-6

tokens = st.integers(0, VOCAB_SIZE - 1)
token_lists = st.lists(tokens, min_size=1, max_size=4)
words = st.lists(st.lists(tokens, min_size=1, max_size=3), min_size=1, max_size=4)
shares = st.floats(0.02, 0.98)
OPTION_VALUES = {
    "sequence_bias": st.lists(
        st.tuples(st.lists(tokens, min_size=1, max_size=3), st.floats(-5, 5)), min_size=1, max_size=4
    ).map(lambda pairs: [[ids, bias] for ids, bias in pairs]),
    "encoder_repetition_penalty": st.floats(0.5, 2),
    "repetition_penalty": st.floats(0.5, 2),
    "no_repeat_ngram_size": st.integers(1, 4),
    "encoder_no_repeat_ngram_size": st.integers(1, 4),
    "bad_words_ids": words,
    "min_length": st.integers(1, 16),
    "min_new_tokens": st.integers(1, 7),
    "forced_bos_token_id": tokens,
    "forced_eos_token_id": st.one_of(tokens, token_lists),
    "remove_invalid_values": st.just(True),
    "exponential_decay_length_penalty": st.tuples(st.integers(0, 6), st.floats(1.01, 1.5)),
    "suppress_tokens": token_lists,
    "begin_suppress_tokens": token_lists,
    "temperature": st.floats(0.2, 3),
    "top_h": shares,
    "top_k": st.integers(1, VOCAB_SIZE + 10),
    "top_p": shares,
    "min_p": shares,
    "typical_p": shares,
    "epsilon_cutoff": st.floats(1e-4, 0.3),
    "eta_cutoff": st.floats(1e-4, 0.3),
    "renormalize_logits": st.just(True),
}


def prompts_and_scores(seed: int, prompt_length: int, num_new_tokens: int, num_banned: int):
    """Ids of three rows over few tokens, so that they repeat, and scores with some tokens at -inf."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(3, 9, (3, prompt_length + num_new_tokens))
    scores = rng.normal(scale=3, size=(3, VOCAB_SIZE)).astype(np.float32)
    scores[:, rng.permutation(VOCAB_SIZE)[:num_banned]] = -np.inf
    return ids, scores


def grown_history(ids, prompt_length: int) -> TokenHistory:
    history = TokenHistory.from_prompts(ids[:, :prompt_length])
    for column in ids[:, prompt_length:].T:
        history.append(column)
    return history


def ours(ids, scores, prompt_length: int, options: dict, **arguments):
    options = {"max_length": 16, "top_k": None} | options
    resolved = resolve_config(GenerationConfig(eos_token_id=[2, 7]), **options)
    config = resolve_lengths(resolved, prompt_length)
    process = build_processors(config, encoder_input_ids=ids[:, :prompt_length], **arguments)
    return process(grown_history(ids, prompt_length), scores)


def theirs(model, ids, scores, prompt_length: int, options: dict, **arguments):
    config = transformers.GenerationConfig(eos_token_id=[2, 7], pad_token_id=0)
    config, _ = model._prepare_generation_config(config, **{"max_length": 16, "top_k": None, **options})
    if config.min_new_tokens is not None:
        config.min_length = prompt_length + config.min_new_tokens
    model._prepare_special_tokens(config, device="cpu")
    process = model._get_logits_processor(
        config,
        input_ids_seq_length=prompt_length,
        encoder_input_ids=torch.tensor(ids[:, :prompt_length]),
        logits_processor=transformers.LogitsProcessorList(arguments.get("custom", [])),
        device="cpu",
        model_kwargs={},
        prefix_allowed_tokens_fn=arguments.get("prefix_allowed_tokens_fn"),
    )
    return process(torch.tensor(ids), torch.tensor(scores)).numpy()


def assert_same_scores(got, expected) -> None:
    np.testing.assert_array_equal(np.isneginf(got), np.isneginf(expected))
    np.testing.assert_allclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("name", OPTION_VALUES)
def test_one_option(tiny_llama, name):
    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(
        value=OPTION_VALUES[name],
        seed=st.integers(0, 2**31),
        lengths=st.sampled_from([(1, 0), (1, 1), (4, 0), (6, 5), (3, 12), (9, 6)]),
        num_banned=st.sampled_from([0, 5, 45]),
        num_beams=st.sampled_from([1, 3]),
    )
    def check(value, seed, lengths, num_banned, num_beams):
        ids, scores = prompts_and_scores(seed, *lengths, num_banned)
        options = {name: value, "do_sample": True, "num_beams": num_beams}
        before = scores.copy()
        assert_same_scores(ours(ids, scores, lengths[0], options), theirs(tiny_llama, ids, scores, lengths[0], options))
        np.testing.assert_array_equal(scores, before)

    check()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    options=st.fixed_dictionaries({}, optional=OPTION_VALUES).filter(lambda options: 0 < len(options) < 7),
    seed=st.integers(0, 2**31),
    num_beams=st.sampled_from([1, 3]),
    do_sample=st.booleans(),
)
def test_options_together_in_transformers_order(tiny_llama, options, seed, num_beams, do_sample):
    ids, scores = prompts_and_scores(seed, 5, 4, 3)
    options |= {"num_beams": num_beams, "do_sample": do_sample}
    forced = options.get("forced_bos_token_id"), options.get("forced_eos_token_id")
    if {*np.concatenate([np.ravel(token) for token in forced if token is not None] or [[-1]]).tolist()} & {
        *options.get("suppress_tokens", ())
    }:
        return
    expected = theirs(tiny_llama, ids, scores, 5, options)
    if np.isneginf(expected).all(axis=1).any() or np.isnan(expected).any():
        return
    assert_same_scores(ours(ids, scores, 5, options), expected)


@pytest.mark.parametrize("name", ["top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "top_h", "top_k"])
def test_equal_scores_keep_as_many(tiny_llama, name):
    """Which of several equal tokens is kept is torch's choice; how many is the option's."""
    rng = np.random.default_rng(3)
    for value in (0.1, 0.3, 0.6, 0.95) if name != "top_k" else (1, 5, 20):
        ids, _ = prompts_and_scores(0, 4, 2, 0)
        scores = rng.integers(-2, 4, (3, VOCAB_SIZE)).astype(np.float32)
        options = {name: value, "do_sample": True}
        got, expected = ours(ids, scores, 4, options), theirs(tiny_llama, ids, scores, 4, options)
        np.testing.assert_array_equal(np.sort(got, axis=1), np.sort(expected, axis=1))


def test_large_vocabulary_takes_the_partial_sort(tiny_llama):
    rng = np.random.default_rng(5)
    scores = rng.normal(scale=0.3, size=(2, 30_000)).astype(np.float32)
    ids = np.ones((2, 3), dtype=np.int64)
    for top_p in (0.02, 0.5, 0.97):
        options = {"top_p": top_p, "do_sample": True}
        assert_same_scores(ours(ids, scores, 3, options), theirs(tiny_llama, ids, scores, 3, options))


def test_broken_logits_are_repaired_or_passed_on(tiny_llama):
    ids, scores = prompts_and_scores(1, 4, 2, 2)
    scores[0, :3] = [np.nan, np.inf, -np.inf]
    options = {"remove_invalid_values": True}
    assert_same_scores(ours(ids, scores, 4, options), theirs(tiny_llama, ids, scores, 4, options))
    options = {"do_sample": True, "top_p": 0.5, "min_p": 0.1, "temperature": 2.0}
    assert np.isnan(ours(ids, scores, 4, options)[0]).any()


def test_prefix_allowed_tokens(tiny_llama):
    def allowed(batch_index, row):
        return [3 + batch_index, int(row[-1])]

    ids, scores = prompts_and_scores(2, 4, 2, 20)
    arguments = {"prefix_allowed_tokens_fn": allowed}
    assert_same_scores(ours(ids, scores, 4, {}, **arguments), theirs(tiny_llama, ids, scores, 4, {}, **arguments))
    with pytest.raises(InputError, match=r"allows the tokens \[\] for prompt 0"):
        ours(ids, scores, 4, {}, prefix_allowed_tokens_fn=lambda batch_index, row: [])
    with pytest.raises(InputError, match=f"of 0 to {VOCAB_SIZE - 1}"):
        ours(ids, scores, 4, {}, prefix_allowed_tokens_fn=lambda batch_index, row: [VOCAB_SIZE])


def test_prefix_wins_over_a_ban(tiny_llama):
    ids, scores = prompts_and_scores(2, 4, 2, 0)
    options, arguments = {"bad_words_ids": [[5]]}, {"prefix_allowed_tokens_fn": lambda batch_index, row: [5]}
    got = ours(ids, scores, 4, options, **arguments)
    assert_same_scores(got, theirs(tiny_llama, ids, scores, 4, options, **arguments))
    assert (got.argmax(axis=1) == 5).all()


@pytest.mark.parametrize(
    ("options", "lengths"),
    [
        ({"bad_words_ids": [[2], [7], [8]]}, (4, 2)),
        ({"bad_words_ids": [[2], [7]]}, (4, 2)),
        *[
            ({"forced_bos_token_id": 5, "begin_suppress_tokens": [3, 4]}, (prompt, new))
            for prompt in (1, 2)
            for new in (0, 1, 2)
        ],
    ],
)
def test_options_that_know_of_one_another(tiny_llama, options, lengths):
    """An end of sequence is no bad word, and a forced first token moves what counts as the beginning."""
    ids, scores = prompts_and_scores(4, *lengths, 0)
    if options == {
        "bad_words_ids": [[2], [7]]
    }:  # transformers refuses a list of ends only; here nothing is left to ban
        np.testing.assert_array_equal(ours(ids, scores, lengths[0], options), scores)
    else:
        assert_same_scores(ours(ids, scores, lengths[0], options), theirs(tiny_llama, ids, scores, lengths[0], options))


def test_custom_processors_run_before_the_sampling_ones(tiny_llama):
    def favour_last(input_ids, scores):
        scores = copy.deepcopy(scores)
        scores[range(3), input_ids[:, -1]] += 5
        return scores

    ids, scores = prompts_and_scores(4, 4, 3, 0)
    options, arguments = {"do_sample": True, "top_k": 3, "temperature": 0.5}, {"custom": [favour_last]}
    assert_same_scores(
        ours(ids, scores, 4, options, **arguments), theirs(tiny_llama, ids, scores, 4, options, **arguments)
    )


def test_custom_processor_sees_left_padded_ids():
    seen = []
    config = resolve_lengths(resolve_config(GenerationConfig()), 3)
    process = build_processors(config, custom=[lambda ids, scores: seen.append(ids) or scores])
    history = TokenHistory.from_prompts([[5, 6, 0], [7, 8, 9]], [[1, 1, 0], [1, 1, 1]], pad_token_id=0)
    process(history, np.zeros((2, 10), dtype=np.float32))
    assert seen[0].tolist() == [[0, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize("returned", [None, np.zeros(3), np.zeros((2, 10), dtype=int)])
def test_custom_processor_that_returns_something_else(returned):
    process = build_processors(resolve_config(GenerationConfig()), custom=[lambda ids, scores: returned])
    with pytest.raises(InputError, match=r"floating-point scores of shape \(2, 10\)"):
        process(TokenHistory.from_prompts(np.ones((2, 3), int)), np.zeros((2, 10), dtype=np.float32))


@pytest.mark.parametrize(
    "options",
    [
        {"repetition_penalty": 1.7},
        {"no_repeat_ngram_size": 1},
        {"no_repeat_ngram_size": 2},
        {"encoder_repetition_penalty": 1.7},
        {"encoder_no_repeat_ngram_size": 2},
        {"bad_words_ids": [[0, 5, 9], [5, 8], [0, 7]]},
        {"sequence_bias": [[[5, 6, 9], 2.0], [[8, 9], 1.0]]},
    ],
)
def test_a_row_is_the_same_alone_and_in_a_ragged_batch(tiny_llama, options):
    """Padding is no token of a row: it is neither penalised nor part of an n-gram."""
    rows = [[5], [5, 6, 5], [7, 8, 9, 7, 8]]
    ids = np.array([[0] * (5 - len(row)) + row for row in rows])
    mask = ids != 0
    scores = np.random.default_rng(0).normal(size=(3, VOCAB_SIZE)).astype(np.float32)
    config = resolve_lengths(resolve_config(GenerationConfig(eos_token_id=2), **options), 5)
    process = build_processors(config, encoder_input_ids=ids, encoder_attention_mask=mask)
    together = process(TokenHistory.from_prompts(ids, mask), scores)
    for index, row in enumerate(rows):
        alone = theirs(tiny_llama, np.array([row]), scores[index : index + 1], len(row), options)
        assert_same_scores(together[index : index + 1], alone)


def test_encoder_options_follow_expanded_rows(tiny_llama):
    """Two beams per prompt: rows 0 and 1 belong to prompt 0."""
    prompt, options = (
        np.array([[4, 5, 6], [7, 8, 9]]),
        {"encoder_no_repeat_ngram_size": 2, "encoder_repetition_penalty": 1.5},
    )
    config = resolve_lengths(resolve_config(GenerationConfig(eos_token_id=2), num_beams=2, **options), 1)
    process = build_processors(config, encoder_input_ids=prompt)
    history = TokenHistory.from_prompts([[0], [0]]).expand(2)
    history.append([4, 7, 4, 7])
    scores = np.random.default_rng(0).normal(size=(4, VOCAB_SIZE)).astype(np.float32)
    got = process(history, scores)
    config = transformers.GenerationConfig(num_beams=2, eos_token_id=2, **options)
    tiny_llama._prepare_special_tokens(config, device="cpu")
    expected = tiny_llama._get_logits_processor(config, 1, torch.tensor(prompt))(
        torch.tensor(history.ids), torch.tensor(scores)
    )
    assert_same_scores(got, expected.numpy())
    assert np.isneginf(got).sum() == 2


def test_no_processors_leave_the_logits_alone():
    process = build_processors(resolve_config(GenerationConfig(eos_token_id=2), do_sample=False))
    logits = np.zeros((1, 4), dtype=np.float32)
    assert not process
    assert process(TokenHistory.from_prompts([[1]]), logits) is logits


def test_tokens_beyond_the_scores_are_ignored(tiny_llama):
    """An embedding may be larger than the output layer (padded vocabularies)."""
    ids = np.array([[58, 99, 58, 99, 58]])
    scores = np.random.default_rng(0).normal(size=(1, VOCAB_SIZE)).astype(np.float32)
    options = {
        "repetition_penalty": 1.5,
        "no_repeat_ngram_size": 2,
        "suppress_tokens": [-1, 3, 99],
        "min_new_tokens": 2,
    }
    assert_same_scores(ours(ids, scores, 4, options), theirs(tiny_llama, ids, scores, 4, options))


@pytest.mark.parametrize("options", [{"bad_words_ids": [[VOCAB_SIZE]]}, {"sequence_bias": [[[VOCAB_SIZE, 1], 1.0]]}])
def test_biased_token_out_of_the_vocabulary(options):
    ids, scores = prompts_and_scores(0, 3, 0, 0)
    with pytest.raises(OptionError, match=f"token {VOCAB_SIZE}; the model's vocabulary ends at {VOCAB_SIZE - 1}"):
        ours(ids, scores, 3, options)


@pytest.mark.parametrize("option", ["encoder_repetition_penalty", "encoder_no_repeat_ngram_size"])
def test_encoder_options_need_tokens(option):
    with pytest.raises(OptionError, match=f"{option} needs a model whose input is token ids"):
        build_processors(resolve_config(GenerationConfig(), **{option: 2}))


def test_length_decay_needs_an_end():
    with pytest.raises(OptionError, match="eos_token_id, which is not set"):
        build_processors(resolve_config(GenerationConfig(), exponential_decay_length_penalty=(2, 1.1)))
