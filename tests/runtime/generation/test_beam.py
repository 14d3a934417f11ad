"""Beam search against transformers' generate() on tiny random models: the same ids, the same scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headway.runtime.errors import OptionError
from headway.runtime.generation.beam import BeamSearch, sample_without_replacement, top_indices
from headway.runtime.generation.config import GenerationConfig
from headway.runtime.generation.config_resolve import resolve_config, resolve_lengths
from headway.runtime.generation.history import TokenHistory
from headway.runtime.generation.stopping import build_stopping

TOLERANCE = 1e-4
# Ends are likelier than anything else, and yet the search has to go on.
MANY_ENDS = {
    "eos_token_id": [20, 33, 40],
    "sequence_bias": [[[20], 12.0], [[33], 12.0], [[40], 12.0]],
    "renormalize_logits": True,
    "length_penalty": 3.0,
    "early_stopping": "never",
}
RAGGED = np.array([[0, 0, 5, 6], [7, 8, 9, 10], [0, 11, 12, 13]])


def assert_same_beams(drive, model, input_ids, attention_mask, **options):
    got, scores = drive(model).beam_search(input_ids, attention_mask, **options)
    expected = model.generate(
        torch.tensor(input_ids),
        attention_mask=torch.tensor(attention_mask).long(),
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    np.testing.assert_array_equal(got.sequences, expected.sequences.numpy())
    np.testing.assert_array_equal(got.beam_indices, expected.beam_indices.numpy())
    np.testing.assert_allclose(got.sequences_scores, expected.sequences_scores.numpy(), atol=TOLERANCE, rtol=TOLERANCE)
    assert len(scores) == len(expected.scores)
    for step, theirs in zip(scores, expected.scores, strict=True):
        np.testing.assert_allclose(np.exp(step), np.exp(theirs.numpy()), atol=TOLERANCE, rtol=TOLERANCE)
    return got


@pytest.mark.parametrize("early_stopping", [True, False, "never"])
@pytest.mark.parametrize("length_penalty", [1.0, 0.0, -1.5, 2.0])
@pytest.mark.parametrize("num_beams", [2, 4])
def test_decoder(drive, tiny_llama, num_beams, length_penalty, early_stopping):
    options = {"num_beams": num_beams, "length_penalty": length_penalty, "early_stopping": early_stopping}
    got = assert_same_beams(
        drive, tiny_llama, RAGGED, RAGGED != 0, max_new_tokens=12, eos_token_id=[2, 20, 33, 40], **options
    )
    assert len(got.sequences) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"num_return_sequences": 3},
        {"no_repeat_ngram_size": 2, "num_return_sequences": 2},
        {"repetition_penalty": 1.5},
        {"bad_words_ids": [[20], [33, 5]], "renormalize_logits": True},
        {"min_new_tokens": 6},
        {"forced_eos_token_id": 33},
        {"eos_token_id": None, "pad_token_id": None},
        {"eos_token_id": [20, 33]},
        MANY_ENDS,
        {"pad_token_id": 7},
        {"max_new_tokens": 1},
        {"max_length": 9, "max_new_tokens": None},
        {"suppress_tokens": list(range(5, 50))},
        {"sequence_bias": [[[20], 4.0]], "exponential_decay_length_penalty": [2, 1.3]},
    ],
)
@pytest.mark.parametrize("early_stopping", [True, False])
def test_options(drive, tiny_llama, options, early_stopping):
    options = {"num_beams": 3, "max_new_tokens": 10, "eos_token_id": 20, "early_stopping": early_stopping} | options
    assert_same_beams(drive, tiny_llama, RAGGED, RAGGED != 0, **options)


@pytest.mark.parametrize("options", [{}, {"length_penalty": 2.0, "early_stopping": True}, {"forced_bos_token_id": 9}])
def test_encoder_decoder(drive, tiny_t5, options):
    """Padding id 0: transformers fills up behind the end with the end-of-sequence id then."""
    options = {"num_beams": 4, "num_return_sequences": 2, "max_new_tokens": 12, "eos_token_id": [1, 30, 44]} | options
    got = assert_same_beams(drive, tiny_t5, RAGGED, RAGGED != 0, **options)
    assert got.sequences.shape[0] == 6


def test_rows_do_not_depend_on_their_neighbours(drive, tiny_llama):
    options = {"num_beams": 3, "max_new_tokens": 10, "eos_token_id": [20, 33], "pad_token_id": 0}
    together, _ = drive(tiny_llama).beam_search(RAGGED, RAGGED != 0, **options)
    for row, sequence, score in zip(RAGGED, together.sequences, together.sequences_scores, strict=True):
        own = row[row != 0][None]
        alone, _ = drive(tiny_llama).beam_search(own, **options)
        new_tokens = alone.sequences[0, own.shape[1] :]
        np.testing.assert_array_equal(sequence[4 : 4 + len(new_tokens)], new_tokens)
        np.testing.assert_allclose(score, alone.sequences_scores[0], atol=TOLERANCE)


def test_fewer_continuations_than_beams(drive, tiny_llama):
    """One forced token: every returned sequence holds it, rather than a place that was never filled."""
    options = {"forced_eos_token_id": 33, "max_new_tokens": 1, "eos_token_id": 20, "num_beams": 3}
    got, _ = drive(tiny_llama).beam_search(RAGGED, RAGGED != 0, num_return_sequences=3, **options)
    assert got.sequences[:, -1].tolist() == [33] * 9


def test_custom_criterion_ends_all_beams(drive, tiny_llama):
    options = {"num_beams": 2, "max_new_tokens": 10, "eos_token_id": None}
    got, _ = drive(tiny_llama).beam_search(
        RAGGED, RAGGED != 0, stopping_criteria=[lambda ids, scores: ids.shape[1] >= 7], **options
    )
    assert got.sequences.shape == (3, 7)


def toy_search(seed, log_probs, **options):
    """Best of one step of beam sampling over the given log-probabilities."""
    defaults = GenerationConfig(eos_token_id=0)
    config = resolve_lengths(resolve_config(defaults, num_beams=2, do_sample=True, max_new_tokens=2, **options), 1)
    search = BeamSearch(TokenHistory.from_prompts([[1]]), config, build_stopping(config), seed=seed)
    return search.advance(np.repeat(log_probs[None], 2, axis=0))


def test_beam_sampling_draws_as_torch_does():
    """Two beams draw four candidates without replacement and go on with the two likeliest of them."""
    log_probs = torch.log_softmax(torch.tensor([-50.0, 0.0, -0.2, -0.4, -0.6, -0.8, -1.0]), dim=0)
    torch.manual_seed(0)
    drawn = torch.multinomial(log_probs.exp().expand(50_000, 7), 4).sort(dim=1).values[:, :2].numpy()
    expected = np.zeros((7, 7))
    np.add.at(expected, tuple(drawn.T), 1 / len(drawn))
    num_draws = 1500
    counts = np.zeros((7, 7))
    for seed in range(num_draws):
        counts[tuple(toy_search(seed, log_probs.numpy()).tokens)] += 1
    possible = expected > 0
    assert counts[~possible].sum() == 0
    chi_square = ((counts - num_draws * expected)[possible] ** 2 / (num_draws * expected[possible])).sum()
    assert possible.sum() == 6
    assert chi_square < 22  # 99.9 % of chi-square with 5 degrees of freedom is 20.5; the rest is torch's own noise


def test_beam_sampling_is_reproducible_and_per_prompt(drive, tiny_llama):
    options = {
        "num_beams": 2,
        "max_new_tokens": 8,
        "do_sample": True,
        "top_k": 10,
        "eos_token_id": 33,
        "pad_token_id": 0,
    }
    first, _ = drive(tiny_llama).beam_search(RAGGED, RAGGED != 0, seed=3, **options)
    again, _ = drive(tiny_llama).beam_search(RAGGED, RAGGED != 0, seed=3, **options)
    np.testing.assert_array_equal(first.sequences, again.sequences)
    alone, _ = drive(tiny_llama).beam_search(RAGGED[:1, 2:], seed=3, **options)
    length = alone.sequences.shape[1] - 2
    np.testing.assert_array_equal(first.sequences[0, 4 : 4 + length], alone.sequences[0, 2:])
    other, _ = drive(tiny_llama).beam_search(RAGGED, RAGGED != 0, seed=4, **options)
    assert first.sequences.shape != other.sequences.shape or (first.sequences != other.sequences).any()


def test_draws_without_replacement_have_the_right_distribution():
    """P(first two draws are i then j) = p_i p_j / (1 - p_i); chi-square over all 12 ordered pairs."""
    probabilities = np.array([0.45, 0.3, 0.2, 0.05])
    scores = np.log(probabilities).astype(np.float32) - 7
    generator = np.random.default_rng(0)
    num_draws = 20_000
    counts = np.zeros((4, 4))
    for _ in range(num_draws):
        first, second = sample_without_replacement(scores, 2, generator)
        counts[first, second] += 1
    expected = num_draws * probabilities[:, None] * probabilities / (1 - probabilities[:, None])
    off_diagonal = ~np.eye(4, dtype=bool)
    assert counts[~off_diagonal].sum() == 0
    chi_square = ((counts - expected) ** 2 / expected)[off_diagonal].sum()
    assert chi_square < 31.3  # 99.9 % of chi-square with 11 degrees of freedom


def test_draws_beyond_the_possible_take_the_best_of_the_rest():
    scores = np.array([0.0, -np.inf, -1e9, -1.0], dtype=np.float32)
    drawn = sample_without_replacement(scores, 4, np.random.default_rng(0))
    assert sorted(drawn[:2].tolist()) == [0, 3]
    assert drawn[2:].tolist() == [2, 1]


def test_sampling_with_nothing_left():
    with pytest.raises(OptionError, match="highest score is -inf"):
        toy_search(0, np.full(5, -np.inf, dtype=np.float32))


def test_top_indices_put_the_first_of_equals_first():
    scores = np.array([[1.0, 3.0, 3.0, 2.0, 3.0]], dtype=np.float32)
    assert top_indices(scores, 3).tolist() == [[1, 2, 4]]
    assert top_indices(scores, 9).tolist() == [[1, 2, 4, 3, 0]]
