"""AutoModelForCausalLM called by hand, its caches, and what it refuses."""

import numpy as np
import pytest
import torch

from headway.runtime import AutoModelForCausalLM, GenerationConfig
from headway.runtime.errors import CacheMemoryError, InputError, InputTooLongError, InputTypeError, OptionError
from headway.runtime.generation import memory

PROMPT = np.array([[5, 6, 7, 8]])
LEFT = {
    "input_ids": np.array([[0, 0, 5, 6, 7], [9, 10, 11, 12, 13]]),
    "attention_mask": np.array([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]),
}
GREEDY = {"do_sample": False, "max_new_tokens": 10, "eos_token_id": None}
KINDS = {"causal_lm": "tiny_llama", "growing_lm": "tiny_bloom", "recurrent_lm": "tiny_mamba"}


@pytest.fixture(params=KINDS)
def loaded(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def model(request, loaded):
    return request.getfixturevalue(KINDS[request.node.callspec.params["loaded"]])


def test_logits_of_every_token(loaded, model):
    with torch.no_grad():
        expected = model(torch.tensor(PROMPT)).logits.numpy()
    output = loaded(PROMPT)
    np.testing.assert_allclose(output.logits, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(output[0], output["logits"])
    np.testing.assert_allclose(loaded(PROMPT, logits_to_keep=1).logits, expected[:, -1:], rtol=1e-3, atol=1e-4)


def test_the_manual_loop_without_a_cache(loaded):
    expected = loaded.generate(PROMPT, **GREEDY)
    ids = PROMPT
    for _ in range(10):
        output = loaded(ids)
        ids = np.concatenate([ids, output.logits[:, -1].argmax(axis=-1)[:, None]], axis=1)
    np.testing.assert_array_equal(ids, expected)


def test_the_manual_loop_with_a_cache(loaded):
    expected = loaded.generate(PROMPT, **GREEDY)
    ids, new, past = PROMPT, PROMPT, None
    for _ in range(10):
        output = loaded(new, past_key_values=past, use_cache=True)
        past, new = output.past_key_values, output.logits[:, -1].argmax(axis=-1)[:, None]
        ids = np.concatenate([ids, new], axis=1)
    np.testing.assert_array_equal(ids, expected)
    assert past.get_seq_length() == 13


def test_the_manual_loop_on_a_padded_batch(loaded):
    expected = loaded.generate(**LEFT, **GREEDY)
    ids, mask, past, new = LEFT["input_ids"], LEFT["attention_mask"], None, LEFT["input_ids"]
    for _ in range(10):
        output = loaded(new, attention_mask=mask, past_key_values=past)
        past, new = output.past_key_values, output.logits[:, -1].argmax(axis=-1)[:, None]
        ids, mask = np.concatenate([ids, new], axis=1), np.pad(mask, ((0, 0), (0, 1)), constant_values=1)
    np.testing.assert_array_equal(ids, expected)


def test_padding_has_no_logits(causal_lm):
    output = causal_lm(**LEFT)
    assert not output.logits[0, :2].any()
    alone = causal_lm(LEFT["input_ids"][:1, 2:])
    np.testing.assert_allclose(output.logits[:1, 2:], alone.logits, rtol=1e-4, atol=1e-5)


def test_a_call_may_return_a_tuple_or_no_cache(causal_lm):
    assert len(causal_lm(PROMPT, return_dict=False)) == 2
    assert causal_lm(PROMPT, use_cache=False).past_key_values is None


def test_positions_may_be_given_where_they_are_what_they_would_be(causal_lm):
    positions = np.maximum(LEFT["attention_mask"].cumsum(axis=1) - 1, 0)
    np.testing.assert_array_equal(causal_lm(**LEFT, position_ids=positions).logits, causal_lm(**LEFT).logits)
    with pytest.raises(InputError, match="position_ids"):
        causal_lm(PROMPT, position_ids=np.array([[3, 4, 5, 6]]))


def count_runs(loaded, monkeypatch):
    """A list that gets the number of tokens of every block the graph runs, single steps left out."""
    sizes = []
    original = loaded.decoder._run_block

    def run_block(cache, block, *rest, **options):
        sizes.append(block.size)
        return original(cache, block, *rest, **options)

    monkeypatch.setattr(loaded.decoder, "_run_block", run_block)
    return sizes


def test_the_next_turn_runs_only_what_is_new(causal_lm, monkeypatch):
    runs = count_runs(causal_lm, monkeypatch)
    first = causal_lm.generate(PROMPT, **GREEDY, return_dict_in_generate=True)
    conversation = np.concatenate([first.sequences, [[20, 21, 22]]], axis=1)
    runs.clear()
    second = causal_lm.generate(conversation, **GREEDY, past_key_values=first.past_key_values)
    # Of the first answer all but its last token had been run.
    assert runs == [4]
    np.testing.assert_array_equal(second, causal_lm.generate(conversation, **GREEDY))


def test_a_cache_of_another_text_is_not_mistaken_for_this_one(causal_lm):
    first = causal_lm.generate(PROMPT, **GREEDY, return_dict_in_generate=True)
    other = np.array([[5, 6, 30, 31, 32]])
    reused = causal_lm.generate(other, **GREEDY, past_key_values=first.past_key_values)
    np.testing.assert_array_equal(reused, causal_lm.generate(other, **GREEDY))


def test_an_empty_prompt_starts_from_the_first_token_of_all(causal_lm):
    np.testing.assert_array_equal(causal_lm.generate(**GREEDY), causal_lm.generate(np.array([[1]]), **GREEDY))


def test_the_models_own_defaults_are_honoured(causal_lm, tmp_path):
    causal_lm.save_pretrained(tmp_path / "copy")
    GenerationConfig(max_new_tokens=3, do_sample=False, eos_token_id=None).save_pretrained(tmp_path / "copy")
    copy = AutoModelForCausalLM.from_pretrained(tmp_path / "copy", num_threads=1)
    assert copy.generate(PROMPT).shape == (1, 7)
    assert copy.generate(PROMPT, max_new_tokens=5).shape == (1, 9)
    assert copy.generate(PROMPT, GenerationConfig(max_new_tokens=4)).shape == (1, 8)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"input_ids": np.array([[5, 60]])}, InputError, "the vocabulary has 0 to 59"),
        ({"input_ids": np.array([[5, -1]])}, InputError, "-1 to 5"),
        ({"input_ids": np.zeros((1, 0), dtype=int)}, InputError, "no token"),
        ({"input_ids": np.zeros((0, 4), dtype=int)}, InputError, "no token"),
        ({"input_ids": [[5, 6], [7]]}, InputTypeError, "ragged"),
        ({"input_ids": np.array([5, 6])}, InputTypeError, "batch"),
        ({"input_ids": np.array([[0.5]])}, InputTypeError, "integers"),
        ({"input_ids": PROMPT, "attention_mask": np.zeros((1, 4), dtype=int)}, InputError, "no token"),
        ({"input_ids": PROMPT, "attention_mask": np.ones((1, 3), dtype=int)}, InputError, "attention_mask"),
        ({"input_ids": np.full((1, 128), 5)}, InputTooLongError, "the model takes 128"),
        ({"input_ids": PROMPT, "max_new_tokens": 125}, InputTooLongError, "129 positions; the model has 128"),
        ({"input_ids": PROMPT, "max_new_token": 5}, OptionError, "max_new_token.*Did you mean max_new_tokens"),
        ({"input_ids": PROMPT, "max_new_tokens": -1}, OptionError, "max_new_tokens=-1"),
    ],
)
def test_bad_input_is_refused_with_its_name(causal_lm, arguments, error, message):
    with pytest.raises(error, match=message):
        causal_lm.generate(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "input_ids is missing"),
        ({"input_ids": np.array([[5, 60]])}, "vocabulary"),
        ({"input_ids": PROMPT, "attention_mask": np.ones((2, 4), dtype=int)}, "attention_mask has shape"),
        ({"input_ids": PROMPT, "attention_mask": np.zeros((1, 4), dtype=int)}, "Row 0 of input_ids holds no token"),
    ],
)
def test_bad_input_of_a_call_is_refused(causal_lm, arguments, message):
    with pytest.raises(InputError, match=message):
        causal_lm(**arguments)


def test_a_past_of_other_rows_is_refused(causal_lm):
    past = causal_lm(PROMPT).past_key_values
    with pytest.raises(InputError, match="past_key_values holds 1 rows"):
        causal_lm(**LEFT, past_key_values=past)
    with pytest.raises(InputError, match="past_key_values holds 1 rows"):
        causal_lm.generate(**LEFT, past_key_values=past, max_new_tokens=2)


def test_a_cache_larger_than_memory_says_how_many_bytes_it_needs(causal_lm, monkeypatch):
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: 1000)
    with pytest.raises(CacheMemoryError, match=r"1 x 104 tokens needs 26,624 bytes; 1,000 are free"):
        causal_lm.generate(PROMPT, max_new_tokens=100)


@pytest.fixture
def prefix_cache(causal_lm):
    yield causal_lm.use_prefix_cache(1 << 20)
    causal_lm.prefix_cache = None


LONG = np.arange(5, 45)[None]


def test_texts_that_begin_alike_start_from_there(causal_lm, prefix_cache, monkeypatch):
    expected = [causal_lm.generate(LONG, **GREEDY), causal_lm.generate(LONG[:, :30], **GREEDY)]
    prefix_cache.clear()
    runs = count_runs(causal_lm, monkeypatch)
    np.testing.assert_array_equal(causal_lm.generate(LONG, **GREEDY), expected[0])
    np.testing.assert_array_equal(causal_lm.generate(LONG, **GREEDY), expected[0])
    np.testing.assert_array_equal(causal_lm.generate(LONG[:, :30], **GREEDY), expected[1])
    assert runs == [40, 1, 1]


def test_the_prefix_cache_stays_within_its_bytes(causal_lm):
    # One text of 49 tokens takes 12.9 kB: two keys and values of 2 x 8 floats per token, and its ids.
    cache = causal_lm.use_prefix_cache(30_000)
    try:
        for start in range(6):
            causal_lm.generate(LONG[:, ::-1] + start, **GREEDY)
            assert cache.size_bytes <= 30_000
        assert len(cache) == 2
        causal_lm.use_prefix_cache(10_000)
        causal_lm.generate(LONG, **GREEDY)
        assert len(causal_lm.prefix_cache) == 0
    finally:
        causal_lm.prefix_cache = None


def test_a_longer_text_takes_the_place_of_its_beginning(causal_lm, prefix_cache):
    causal_lm.generate(LONG[:, :20], **GREEDY)
    answer = causal_lm.generate(LONG[:, :20], **GREEDY)
    assert len(prefix_cache) == 1
    causal_lm.generate(np.concatenate([answer, [[50]]], axis=1), **GREEDY)
    assert len(prefix_cache) == 1


def test_short_texts_are_not_kept(causal_lm, prefix_cache):
    causal_lm.generate(PROMPT, do_sample=False, max_new_tokens=3)
    assert len(prefix_cache) == 0


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"do_sample": True, "seed": 7}, {"eos_token_id": [3, 9]}])
def test_ragged_batches_over_a_prefix_cache_give_the_same(causal_lm, options):
    """Prompts that begin alike, each time in other company; the cache is small enough to drop some."""
    random = np.random.default_rng(0)
    calls = []
    for _ in range(8):
        rows = np.repeat(LONG, 3, axis=0)
        lengths = random.integers(18, 41, 3)
        for row, length in zip(rows, lengths, strict=True):
            row[length - 2 :] = random.integers(5, 60, 42 - length)
        calls.append({"input_ids": rows, "attention_mask": (np.arange(40) < lengths[:, None]).astype(int)})
    expected = [causal_lm.generate(**call, **{**GREEDY, **options}) for call in calls]
    cache = causal_lm.use_prefix_cache(60_000)
    try:
        for call, wanted in zip(calls, expected, strict=True):
            np.testing.assert_array_equal(causal_lm.generate(**call, **{**GREEDY, **options}), wanted)
            assert cache.size_bytes <= 60_000
        assert len(cache) > 1
    finally:
        causal_lm.prefix_cache = None


def test_a_negative_size_is_refused(causal_lm):
    with pytest.raises(OptionError, match="max_bytes=-1"):
        causal_lm.use_prefix_cache(-1)
