"""Draws: their distribution, their seeds, and what cannot be drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig as TransformersConfig

from headway.runtime.errors import OptionError
from headway.runtime.generation.config import GenerationConfig
from headway.runtime.generation.config_resolve import resolve_config, resolve_lengths
from headway.runtime.generation.history import TokenHistory
from headway.runtime.generation.logits import build_processors
from headway.runtime.generation.sampler import draw, greedy, make_sampler

SAMPLING = GenerationConfig(do_sample=True)
# 99.9 % quantiles of chi-square by degrees of freedom.
CHI_SQUARE = {4: 18.5, 7: 24.3, 9: 27.9, 19: 43.8, 29: 58.3}


def chi_square_limit(degrees: int) -> float:
    return next(limit for known, limit in sorted(CHI_SQUARE.items()) if known >= degrees)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.6},
        {"top_k": 5},
        {"top_p": 0.7, "top_k": 0},
        {"min_p": 0.2},
        {"typical_p": 0.6},
        {"top_h": 0.5},
    ],
)
def test_draws_follow_transformers_probabilities(tiny_llama, options):
    """10,000 draws of fixed seeds against the probabilities that transformers would sample from."""
    scores = np.random.default_rng(1).normal(scale=1.5, size=(1, 20)).astype(np.float32)
    config = TransformersConfig(do_sample=True)
    config, _ = tiny_llama._prepare_generation_config(config, eos_token_id=2, **options)
    tiny_llama._prepare_special_tokens(config, device="cpu")
    warped = tiny_llama._get_logits_processor(config, 1, torch.ones((1, 1), dtype=torch.long))(
        torch.ones((1, 1), dtype=torch.long), torch.tensor(scores)
    )
    expected = torch.softmax(warped, dim=-1).numpy()[0].astype(np.float64)

    num_draws = 10_000
    ours = resolve_lengths(resolve_config(GenerationConfig(eos_token_id=2), do_sample=True, **options), 1)
    processed = build_processors(ours)(TokenHistory.from_prompts([[1]]), scores)
    sample = make_sampler(ours, 0, num_rows=num_draws)
    counts = np.bincount(sample(np.repeat(processed, num_draws, axis=0), None), minlength=20)

    possible = expected > 0
    assert counts[~possible].sum() == 0
    difference = (counts - num_draws * expected)[possible]
    chi_square = (difference**2 / (num_draws * expected[possible])).sum()
    assert chi_square < chi_square_limit(int(possible.sum()) - 1)


def test_one_row_over_many_steps_follows_the_distribution_too():
    probabilities = np.array([0.5, 0.25, 0.15, 0.08, 0.02])
    sample = make_sampler(SAMPLING, 7, num_rows=1)
    scores = np.log(probabilities)[None].astype(np.float32)
    counts = np.bincount([sample(scores, None)[0] for _ in range(10_000)], minlength=5)
    assert ((counts - 10_000 * probabilities) ** 2 / (10_000 * probabilities)).sum() < CHI_SQUARE[4]


def test_rows_are_independent_of_one_another():
    """Equal rows do not move together: the pairs of two rows' draws are all about equally likely."""
    sample = make_sampler(SAMPLING, 3, num_rows=2)
    pairs = np.array([sample(np.zeros((2, 3), dtype=np.float32), None) for _ in range(9000)])
    counts = np.bincount(pairs[:, 0] * 3 + pairs[:, 1], minlength=9)
    assert ((counts - 1000) ** 2 / 1000).sum() < CHI_SQUARE[9]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**40), others=st.integers(0, 5))
def test_a_row_draws_the_same_whatever_the_batch_holds(seed, others):
    scores = np.random.default_rng(0).normal(size=(6, 50)).astype(np.float32)
    alone = make_sampler(SAMPLING, seed, num_rows=1)
    together = make_sampler(SAMPLING, seed, num_rows=others + 1)
    for step in range(4):
        first = scores[step : step + 1]
        batch = np.concatenate([first, scores[:others]])
        assert alone(first, None)[0] == together(batch, None)[0]


def test_rows_that_are_left_out_do_not_change_the_others():
    """A loop may stop sampling finished rows; `rows` says which ones are left."""
    scores = np.zeros((3, 100), dtype=np.float32)
    every = make_sampler(SAMPLING, 5, num_rows=3)
    some = make_sampler(SAMPLING, 5, num_rows=3)
    first = every(scores, None), some(scores, None)
    np.testing.assert_array_equal(*first)
    np.testing.assert_array_equal(every(scores, None)[[0, 2]], some(scores[:2], np.array([0, 2])))


def test_no_seed_is_a_fresh_one():
    scores = np.zeros((4, 10_000), dtype=np.float32)
    first, second = (make_sampler(SAMPLING, None, num_rows=4)(scores, None) for _ in range(2))
    assert (first != second).any()


def test_a_seed_belongs_to_its_row():
    scores = np.zeros((2, 10_000), dtype=np.float32)
    first, swapped, other = (
        make_sampler(SAMPLING, seed, num_rows=2)(scores, None) for seed in ([1, 2], [2, 1], [1, 3])
    )
    assert first.tolist() == swapped.tolist()[::-1]
    assert first[0] == other[0]
    assert first[1] != other[1]


def test_seeds_per_row_must_match_the_rows():
    with pytest.raises(OptionError, match="seed holds 2 values for 3 rows"):
        make_sampler(SAMPLING, [1, 2], num_rows=3)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    scores=st.lists(st.one_of(st.floats(-60, 60, width=32), st.just(-np.inf)), min_size=1, max_size=12).filter(
        lambda row: max(row) > -np.inf
    ),
    seed=st.integers(0, 1000),
)
def test_never_draws_a_banned_token(scores, seed):
    row = np.array(scores, dtype=np.float32)
    assert row[draw(row, np.random.default_rng(seed))] > -np.inf


class _Fixed:
    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


def test_the_ends_of_the_unit_interval():
    row = np.array([-np.inf, 0, -np.inf, 0, -np.inf], dtype=np.float32)
    assert draw(row, _Fixed(0.0)) == 1
    assert draw(row, _Fixed(0.5)) == 3
    assert draw(row, _Fixed(np.nextafter(1.0, 0.0))) == 3
    assert draw(row, _Fixed(1.0)) == 3


@pytest.mark.parametrize("row", [[-np.inf, -np.inf], [np.nan, 1.0], [np.inf, 1.0], []])
def test_a_row_that_cannot_be_sampled(row):
    with pytest.raises(OptionError, match="Row 5 cannot be sampled"):
        draw(np.array(row, dtype=np.float32), np.random.default_rng(0), row=5)


def test_greedy_takes_the_first_of_equals():
    assert greedy(np.array([[1, 3, 3], [2, 0, 1]], dtype=np.float32), None).tolist() == [1, 0]
    assert make_sampler(GenerationConfig(), num_rows=2) is greedy


@pytest.mark.parametrize("size", [1, 255, 256, 257, 5000])
def test_draws_over_several_blocks_of_the_vocabulary(size):
    """The sum of a large vocabulary is taken block by block: every share of it leads to the right token."""
    scores = np.random.default_rng(size).normal(size=size).astype(np.float32)
    sums = np.exp(scores.astype(np.float64)).cumsum()
    for share in (0.0, 0.1, 0.5, 0.77, 0.999):
        token = draw(scores, _Fixed(share))
        target = share * sums[-1]
        assert sums[token] >= target * (1 - 1e-5)
        assert token == 0 or sums[token - 1] <= target * (1 + 1e-5)
