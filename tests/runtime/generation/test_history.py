"""The tokens of a batch: padding on either side, growing, selecting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.runtime.errors import InputError, InputTypeError
from headway.runtime.generation.history import TokenHistory


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=4),
    columns=st.integers(0, 150),
    extra=st.integers(0, 3),
    on_the_left=st.booleans(),
)
def test_rows_keep_their_own_tokens(rows, columns, extra, on_the_left):
    width = max(map(len, rows)) + extra
    ids = np.full((len(rows), width), 99)
    for index, row in enumerate(rows):
        ids[index, slice(width - len(row), None) if on_the_left else slice(len(row))] = row
    history = TokenHistory.from_prompts(ids, ids != 99, pad_token_id=7)
    for step in range(columns):
        history.append([step] * len(rows))
    assert history.prompt_length == max(map(len, rows))
    assert history.num_new_tokens == columns
    assert history.new_ids.shape == (len(rows), columns)
    for index, row in enumerate(rows):
        own = [*row, *range(columns)]
        assert history.row(index).tolist() == own
        assert history.ids[index].tolist() == [7] * (history.prompt_length - len(row)) + own
        assert history.lengths[index] == len(own)
        found = history.own_tokens(5)
        assert found[1][found[0] == index].tolist() == [token for token in own if token < 5]
    assert history.last_tokens.tolist() == history.ids[:, -1].tolist()


def test_holes_in_the_mask_are_closed():
    history = TokenHistory.from_prompts([[1, 2, 3], [4, 5, 6]], [[1, 0, 1], [0, 1, 0]])
    assert history.ids.tolist() == [[1, 3], [0, 5]]


def test_expanded_and_selected_rows_know_their_prompt():
    history = TokenHistory.from_prompts([[1, 2], [3, 4]])
    history.append([5, 6])
    beams = history.expand(2)
    assert beams.batch_rows.tolist() == [0, 0, 1, 1]
    chosen = beams.select(np.array([3, 0]))
    assert chosen.ids.tolist() == [[3, 4, 6], [1, 2, 5]]
    assert chosen.batch_rows.tolist() == [1, 0]
    assert chosen.num_new_tokens == 1
    chosen.append([7, 8])
    assert history.length == 3


def test_extending_and_truncating():
    history = TokenHistory.from_prompts([[1, 2]])
    longer = history.extended(np.array([3]))
    assert (longer.ids.tolist(), longer.num_new_tokens, history.length) == ([[1, 2, 3]], 1, 2)
    longer.truncate(2)
    assert longer.ids.tolist() == [[1, 2]]


@pytest.mark.parametrize("ids", [[1, 2], [[1.5]], [[["a"]]], "text", [["a"]]])
def test_ids_that_are_none(ids):
    with pytest.raises(InputTypeError, match=r"generate takes \(batch, sequence\) integers"):
        TokenHistory.from_prompts(ids)


@pytest.mark.parametrize(
    ("ids", "mask", "message"),
    [
        ([[]], None, "Row 0 of input_ids holds no token"),
        (np.zeros((0, 3), dtype=int), None, "holds no token"),
        ([[1], [2]], [[1], [0]], "Row 1 of input_ids holds no token"),
        ([[1, 2]], [[1]], r"attention_mask is \(1, 1\)"),
    ],
)
def test_prompts_that_cannot_be_used(ids, mask, message):
    with pytest.raises(InputError, match=message):
        TokenHistory.from_prompts(ids, mask)
