"""Greedy search and sampling, end to end on tiny random models, against transformers' generate()."""

from __future__ import annotations

import numpy as np
import pytest
import torch

RAGGED = np.array([[0, 0, 5, 6], [7, 8, 9, 10], [0, 11, 12, 13]])
MASK = RAGGED != 0
TOLERANCE = 1e-3

OPTIONS = [
    {},
    {"eos_token_id": [2, 20, 33, 41]},
    {"eos_token_id": None, "pad_token_id": None},
    {"repetition_penalty": 1.4},
    {"no_repeat_ngram_size": 2},
    {"bad_words_ids": [[5], [20, 33]], "min_new_tokens": 4},
    {"forced_eos_token_id": 33},
    {"suppress_tokens": [9, 10], "begin_suppress_tokens": [5, 33]},
    {"max_length": 11, "max_new_tokens": None, "min_length": 9},
    {"max_length": None, "max_new_tokens": None},
    {"exponential_decay_length_penalty": [3, 1.6]},
    {"sequence_bias": [[[20], 3.0]]},
]


def transformers_ids(model, ids, mask, **options):
    return model.generate(
        torch.tensor(ids),
        attention_mask=torch.tensor(mask).long(),
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )


def merged(*parts):
    """Options of all parts; None takes one away."""
    options = {name: value for part in parts for name, value in part.items()}
    return {name: value for name, value in options.items() if value is not None or name.endswith("token_id")}


def num_steps_of(ids, ends):
    """(rows,) how many tokens each row chose before it was finished."""
    is_end = np.isin(ids, ends or [])
    return np.where(is_end.any(axis=1), is_end.argmax(axis=1) + 1, ids.shape[1])


@pytest.mark.filterwarnings("ignore:Using the model-agnostic default:UserWarning")
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", ["tiny_llama", "tiny_t5"])
def test_greedy(drive, request, name, options):
    model = request.getfixturevalue(name)
    options = merged({"max_new_tokens": 14, "eos_token_id": [20, 33], "pad_token_id": 0}, options)
    ids, scores = drive(model).search(RAGGED, MASK, **options)
    expected = transformers_ids(model, RAGGED, MASK, **options)
    np.testing.assert_array_equal(ids, expected.sequences.numpy())
    assert len(scores) == len(expected.scores)
    num_steps = num_steps_of(ids[:, -len(scores) :], options["eos_token_id"])
    for step, (ours, theirs) in enumerate(zip(scores, expected.scores, strict=True)):
        rows = num_steps > step
        np.testing.assert_allclose(ours[rows], theirs.numpy()[rows], atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("options", [{"encoder_repetition_penalty": 1.3}, {"encoder_no_repeat_ngram_size": 1}])
@pytest.mark.parametrize("name", ["tiny_llama", "tiny_t5"])
def test_options_that_look_at_the_encoder(drive, request, name, options):
    """Without padding: transformers takes padding for a token of the prompt here, and so differs in a ragged batch."""
    model, ids = request.getfixturevalue(name), RAGGED[:, 2:]
    options = {"max_new_tokens": 8, "eos_token_id": [20, 33], "pad_token_id": 0} | options
    got, _ = drive(model).search(ids, **options)
    expected = transformers_ids(model, ids, np.ones_like(ids), **options)
    np.testing.assert_array_equal(got, expected.sequences.numpy())


@pytest.mark.parametrize("options", [{}, {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2}])
def test_a_row_is_the_same_alone_and_with_neighbours(drive, tiny_llama, options):
    options = {"max_new_tokens": 14, "eos_token_id": [20, 33], "pad_token_id": 0} | options
    together, _ = drive(tiny_llama).search(RAGGED, MASK, **options)
    for row, mask, sequence in zip(RAGGED, MASK, together, strict=True):
        alone = transformers_ids(tiny_llama, row[mask][None], mask[mask][None], **options).sequences.numpy()[0]
        new_tokens = alone[mask.sum() :]
        np.testing.assert_array_equal(sequence[4 : 4 + len(new_tokens)], new_tokens)


def test_prompts_padded_on_the_right_give_the_same(drive, tiny_llama):
    right = np.stack([np.roll(row, -int((row == 0).sum())) for row in RAGGED])
    options = {"max_new_tokens": 8, "eos_token_id": 33, "pad_token_id": 0}
    from_left, _ = drive(tiny_llama).search(RAGGED, MASK, **options)
    from_right, _ = drive(tiny_llama).search(right, right != 0, **options)
    np.testing.assert_array_equal(from_left, from_right)


def test_a_row_that_ends_at_once_is_filled(drive, tiny_llama):
    first = drive(tiny_llama).search(RAGGED, MASK, max_new_tokens=1, eos_token_id=None)[0][0, -1]
    options = {"max_new_tokens": 6, "eos_token_id": int(first), "pad_token_id": 0}
    ids, _ = drive(tiny_llama).search(RAGGED, MASK, **options)
    assert ids[0, 4:].tolist() == [first, *[0] * (ids.shape[1] - 5)]
    np.testing.assert_array_equal(ids, transformers_ids(tiny_llama, RAGGED, MASK, **options).sequences.numpy())


def test_sampled_rows_depend_on_their_seed_only(drive, tiny_llama):
    options = {"max_new_tokens": 10, "do_sample": True, "top_k": 20, "eos_token_id": 33, "pad_token_id": 0}
    together, _ = drive(tiny_llama).search(RAGGED, MASK, seed=[11, 12, 13], **options)
    for row, seed, sequence in zip(RAGGED, [11, 12, 13], together, strict=True):
        alone, _ = drive(tiny_llama).search(row[row != 0][None], seed=[seed], **options)
        new_tokens = alone[0, (row != 0).sum() :]
        np.testing.assert_array_equal(sequence[4 : 4 + len(new_tokens)], new_tokens)


def test_returned_sequences_differ(drive, tiny_llama):
    options = {
        "max_new_tokens": 10,
        "do_sample": True,
        "num_return_sequences": 4,
        "eos_token_id": 33,
        "pad_token_id": 0,
    }
    ids, _ = drive(tiny_llama).search(RAGGED, MASK, seed=0, **options)
    assert ids.shape[0] == 12
    assert len({tuple(row) for row in ids[:4]}) == 4
    np.testing.assert_array_equal(ids[:, :4], np.repeat(RAGGED, 4, axis=0))
