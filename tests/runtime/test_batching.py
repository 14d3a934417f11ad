from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.runtime.batching import Rows, equal_length_batches, padded_batches, token_batches
from headway.runtime.errors import InputError, OptionError

LENGTHS = st.lists(st.integers(1, 60), max_size=50)
LIMITS = st.one_of(st.none(), st.integers(1, 200))
IDS = st.lists(st.lists(st.integers(1, 1000), min_size=1, max_size=12), min_size=1, max_size=20)


@pytest.mark.parametrize("make_batches", [token_batches, equal_length_batches])
@given(lengths=LENGTHS, max_batch_tokens=LIMITS, max_batch_size=LIMITS)
def test_batches_keep_the_limits_and_every_row(
    make_batches: Any, lengths: list[int], max_batch_tokens: int | None, max_batch_size: int | None
) -> None:
    batches = make_batches(lengths, max_batch_tokens, max_batch_size)
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert max_batch_size is None or len(batch) <= max_batch_size
        padded = len(batch) * max(lengths[row] for row in batch)
        assert max_batch_tokens is None or padded <= max_batch_tokens or len(batch) == 1
        if make_batches is equal_length_batches:
            assert len({lengths[row] for row in batch}) == 1


@given(lengths=LENGTHS)
def test_batches_go_from_long_to_short(lengths: list[int]) -> None:
    sizes = [lengths[row] for batch in token_batches(lengths, 64) for row in batch.tolist()]
    assert sizes == sorted(lengths, reverse=True)


def test_batches_are_as_large_as_the_budget_allows() -> None:
    batches = token_batches([4, 4, 4, 4, 2, 2], max_batch_tokens=8)
    assert [batch.tolist() for batch in batches] == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("limit", [0, -1, 1.5, "8", True])
def test_limits_that_are_no_counts_are_refused(limit: Any) -> None:
    with pytest.raises(OptionError, match="max_batch_tokens is"):
        token_batches([1], limit)
    with pytest.raises(OptionError, match="batch_size is"):
        token_batches([1], None, limit)


@given(ids=IDS, max_batch_tokens=LIMITS, with_types=st.booleans())
def test_padded_batches_hold_every_row_and_padding(
    ids: list[list[int]], max_batch_tokens: int | None, with_types: bool
) -> None:
    types = [[value % 2 for value in row] for row in ids]
    rows = Rows.from_lists(ids, types if with_types else None)
    seen = []
    for batch in padded_batches(rows, token_batches(rows.lengths, max_batch_tokens), pad_token_id=0):
        assert batch.input_ids.dtype == batch.attention_mask.dtype == batch.token_type_ids.dtype == np.int64
        for place, index in enumerate(batch.indices.tolist()):
            own, width = ids[index], batch.input_ids.shape[1]
            padding = [0] * (width - len(own))
            assert batch.input_ids[place].tolist() == own + padding
            assert batch.attention_mask[place].tolist() == [1] * len(own) + padding
            expected = types[index] if with_types else [0] * len(own)
            assert batch.token_type_ids[place].tolist() == expected + padding
            seen.append(index)
    assert sorted(seen) == list(range(len(ids)))


def test_padding_has_the_id_asked_for() -> None:
    rows = Rows.from_lists([[5, 6], [7]])
    (batch,) = padded_batches(rows, token_batches(rows.lengths), pad_token_id=9)
    assert batch.input_ids.tolist() == [[5, 6], [7, 9]]


def test_a_row_without_tokens_is_refused() -> None:
    rows = Rows.from_lists([[5], []])
    with pytest.raises(InputError, match="Text 1 has no tokens"):
        list(padded_batches(rows, token_batches(rows.lengths), 0))


@given(ids=IDS, data=st.data())
def test_rows_can_be_replaced(ids: list[list[int]], data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(ids) - 1), unique=True, min_size=1).map(sorted))
    others = data.draw(st.lists(st.lists(st.integers(1, 9), min_size=1), min_size=len(places), max_size=len(places)))
    replaced = Rows.from_lists(ids, ids).replaced(np.array(places), Rows.from_lists(others, others))
    expected = list(ids)
    for place, other in zip(places, others, strict=True):
        expected[place] = other
    assert [replaced.row(index).tolist() for index in range(len(replaced))] == expected
    assert replaced.type_ids is not None
    assert replaced.type_ids.tolist() == replaced.ids.tolist()
