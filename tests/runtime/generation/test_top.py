"""The highest few of many scores, against a full sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.runtime.generation.top import highest_indices, kth_highest


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    size=st.sampled_from([1, 2, 15, 16, 17, 100, 1000, 5000]),
    count=st.integers(1, 60),
    num_values=st.sampled_from([1, 2, 5, 10**6]),
    num_banned=st.sampled_from([0, 1, 50, 4990]),
    seed=st.integers(0, 2**31),
)
def test_as_a_full_sort(size, count, num_values, num_banned, seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, num_values, size).astype(np.float32)
    scores[rng.permutation(size)[:num_banned]] = -np.inf
    expected = np.argsort(-scores, kind="stable")[:count]
    np.testing.assert_array_equal(highest_indices(scores, count), expected)
    assert kth_highest(scores, count) == scores[expected[-1]]


@pytest.mark.parametrize("size", [5, 4000])
def test_nan_leaves_as_many(size):
    scores = np.arange(size, dtype=np.float32)
    scores[::2] = np.nan
    assert len(highest_indices(scores, 4)) == 4
