"""generate() of exported decoders against transformers' on the same weights."""

import numpy as np
import pytest
import torch

from headway.runtime.errors import InputError, OptionError
from headway.runtime.generation.outputs import GenerateBeamDecoderOnlyOutput, GenerateDecoderOnlyOutput

BATCH = {
    "input_ids": np.array([[0, 0, 5, 6, 7], [9, 10, 11, 12, 13], [0, 0, 0, 0, 21]]),
    "attention_mask": np.array([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]]),
}
ONE = {name: array[1:2] for name, array in BATCH.items()}


def reference(model, inputs, **options):
    tensors = {name: torch.tensor(array) for name, array in inputs.items()}
    with torch.no_grad():
        return model.generate(**tensors, **options)


def both(loaded, model, inputs, **options):
    return loaded.generate(**inputs, **options), reference(model, inputs, **options).numpy()


GREEDY = {
    "plain": {"max_new_tokens": 12},
    "no end": {"max_new_tokens": 12, "eos_token_id": None},
    "several ends": {"max_new_tokens": 20, "eos_token_id": [2, 17, 33]},
    "least length": {"max_new_tokens": 12, "min_new_tokens": 6, "eos_token_id": [2, 17, 33]},
    "repetition": {"max_new_tokens": 12, "repetition_penalty": 1.7},
    "n-grams": {"max_new_tokens": 16, "no_repeat_ngram_size": 2},
    "banned": {"max_new_tokens": 12, "suppress_tokens": [3, 30], "bad_words_ids": [[40], [5, 6]]},
    "forced end": {"max_new_tokens": 6, "forced_eos_token_id": 2},
    "by length": {"max_length": 11},
}


@pytest.mark.parametrize("name", GREEDY)
def test_greedy(causal_lm, tiny_llama, name):
    ours, theirs = both(causal_lm, tiny_llama, BATCH, do_sample=False, **GREEDY[name])
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("loaded", "model"), [("growing_lm", "tiny_bloom"), ("recurrent_lm", "tiny_mamba")])
def test_greedy_with_other_caches(loaded, model, request):
    loaded, model = request.getfixturevalue(loaded), request.getfixturevalue(model)
    ours = loaded.generate(**BATCH, do_sample=False, max_new_tokens=12, eos_token_id=None)
    for row, (ids, mask) in enumerate(zip(*BATCH.values(), strict=True)):
        alone = {"input_ids": ids[None, mask != 0], "attention_mask": mask[None, mask != 0]}
        theirs = reference(model, alone, do_sample=False, max_new_tokens=12, eos_token_id=None)[0, mask.sum() :]
        assert ours[row, 5:].tolist() == theirs.tolist()


BEAMS = {
    "four": {"num_beams": 4},
    "early": {"num_beams": 3, "early_stopping": True, "eos_token_id": [2, 17, 33]},
    "never early": {"num_beams": 3, "early_stopping": "never", "length_penalty": 0.3, "eos_token_id": [2, 17, 33]},
    "long": {"num_beams": 2, "length_penalty": 2.0},
    "several": {"num_beams": 4, "num_return_sequences": 3},
    "with processors": {"num_beams": 3, "repetition_penalty": 1.4, "no_repeat_ngram_size": 2},
}


@pytest.mark.parametrize("name", BEAMS)
def test_beams(causal_lm, tiny_llama, name):
    ours, theirs = both(causal_lm, tiny_llama, BATCH, do_sample=False, max_new_tokens=10, **BEAMS[name])
    np.testing.assert_array_equal(ours, theirs)


def test_beams_on_a_growing_cache(growing_lm, tiny_bloom):
    ours, theirs = both(growing_lm, tiny_bloom, ONE, do_sample=False, max_new_tokens=10, num_beams=3)
    np.testing.assert_array_equal(ours, theirs)


def test_prompts_padded_on_the_right_give_the_same_tokens(causal_lm):
    lengths = BATCH["attention_mask"].sum(axis=1)
    right = {
        name: np.stack([np.roll(row, n - 5) for row, n in zip(array, lengths, strict=True)])
        for name, array in BATCH.items()
    }
    options = {"do_sample": False, "max_new_tokens": 12}
    left_padded, right_padded = causal_lm.generate(**BATCH, **options), causal_lm.generate(**right, **options)
    np.testing.assert_array_equal(left_padded[:, 5:], right_padded[:, 5:])
    np.testing.assert_array_equal(right_padded[:, :5], right["input_ids"])


def test_a_mask_is_worked_out_from_the_padding_id(causal_lm):
    options = {"do_sample": False, "max_new_tokens": 8}
    without = causal_lm.generate(BATCH["input_ids"], **options)
    np.testing.assert_array_equal(without, causal_lm.generate(**BATCH, **options))


def test_rows_do_not_depend_on_their_neighbours(causal_lm):
    options = {"do_sample": True, "max_new_tokens": 15, "seed": [3, 4, 5], "eos_token_id": [2, 17, 33], "top_k": 20}
    together = causal_lm.generate(**BATCH, **options)
    for row, seed in enumerate(options["seed"]):
        alone = {name: array[row : row + 1] for name, array in BATCH.items()}
        sequence = causal_lm.generate(**alone, **{**options, "seed": [seed]})
        np.testing.assert_array_equal(sequence[0], together[row, : sequence.shape[1]])
        assert (together[row, sequence.shape[1] :] == 0).all()


def test_a_seed_gives_the_same_tokens_again(causal_lm):
    options = {"do_sample": True, "max_new_tokens": 15, "num_return_sequences": 4}
    first, again = (causal_lm.generate(**ONE, seed=1, **options) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first, axis=0)) > 1
    assert not np.array_equal(first, causal_lm.generate(**ONE, seed=2, **options))


def test_the_first_token_is_drawn_with_the_models_probabilities(causal_lm, tiny_llama):
    with torch.no_grad():
        logits = tiny_llama(torch.tensor(ONE["input_ids"])).logits[0, -1]
    expected = torch.softmax(logits / 1.5, dim=-1).numpy()
    options = {"do_sample": True, "temperature": 1.5, "top_k": 0, "max_new_tokens": 1, "num_return_sequences": 4000}
    drawn = causal_lm.generate(**ONE, seed=0, **options)[:, -1]
    counts = np.bincount(drawn, minlength=len(expected))
    likely = expected > 0.01
    spread = np.sqrt(4000 * expected * (1 - expected))
    assert (np.abs(counts - 4000 * expected)[likely] < 4.5 * spread[likely]).all()


def test_scores_and_logits_are_those_of_transformers(causal_lm, tiny_llama):
    options = {
        "do_sample": False,
        "max_new_tokens": 8,
        "repetition_penalty": 1.5,
        "eos_token_id": None,
        "return_dict_in_generate": True,
        "output_scores": True,
        "output_logits": True,
    }
    ours, theirs = causal_lm.generate(**BATCH, **options), reference(tiny_llama, BATCH, **options)
    assert isinstance(ours, GenerateDecoderOnlyOutput)
    np.testing.assert_array_equal(ours.sequences, theirs.sequences.numpy())
    for name in ("scores", "logits"):
        assert len(ours[name]) == 8
        for step, wanted in zip(ours[name], theirs[name], strict=True):
            np.testing.assert_allclose(step, wanted.numpy(), rtol=1e-3, atol=1e-3)
    assert ours.past_key_values.get_seq_length() == 12
    assert ours.attentions is None


def test_scores_of_beams_are_those_of_transformers(causal_lm, tiny_llama):
    options = {
        "do_sample": False,
        "max_new_tokens": 6,
        "num_beams": 3,
        "return_dict_in_generate": True,
        "output_scores": True,
    }
    ours, theirs = causal_lm.generate(**BATCH, **options), reference(tiny_llama, BATCH, **options)
    assert isinstance(ours, GenerateBeamDecoderOnlyOutput)
    np.testing.assert_allclose(ours.sequences_scores, theirs.sequences_scores.numpy(), rtol=1e-3)
    np.testing.assert_array_equal(ours.beam_indices, theirs.beam_indices.numpy())


def test_rows_that_are_done_leave_the_network(causal_lm, monkeypatch):
    endless = causal_lm.generate(**BATCH, do_sample=False, max_new_tokens=20, eos_token_id=None)
    with_ends = {"do_sample": False, "max_new_tokens": 20, "eos_token_id": [int(endless[row, 5]) for row in (0, 2)]}
    widths = []
    original = causal_lm.decoder.decode

    def decode(cache, tokens):
        widths.append(len(tokens))
        return original(cache, tokens)

    monkeypatch.setattr(causal_lm.decoder, "decode", decode)
    sequences = causal_lm.generate(**BATCH, **with_ends)
    # Two of three rows end with their first token, the third with its second.
    assert widths == [1]
    seen = []

    def watch(input_ids, scores):
        seen.append(len(input_ids))
        return scores

    # Whoever watches the rows sees them all, and the tokens are the same.
    np.testing.assert_array_equal(sequences, causal_lm.generate(**BATCH, **with_ends, logits_processor=[watch]))
    assert set(seen) == {3}


def test_a_streamer_gets_the_prompt_and_every_token(causal_lm):
    events = []

    class Streamer:
        def put(self, value):
            events.append(np.array(value).reshape(-1).tolist())

        def end(self):
            events.append("end")

    sequences = causal_lm.generate(**ONE, do_sample=False, max_new_tokens=5, streamer=Streamer())
    assert events == [ONE["input_ids"][0].tolist(), *([token] for token in sequences[0, 5:].tolist()), "end"]


def test_criteria_of_the_caller_end_rows(causal_lm):
    def is_even(input_ids, scores):
        return input_ids[:, -1] % 2 == 0

    sequences = causal_lm.generate(
        **BATCH, do_sample=False, max_new_tokens=20, eos_token_id=None, stopping_criteria=[is_even]
    )
    for row in sequences[:, 5:].tolist():
        ends = [position for position, token in enumerate(row) if token % 2 == 0]
        assert not any(row[ends[0] + 1 :]) if ends else True


def test_an_error_of_a_callback_comes_out_and_the_model_goes_on(causal_lm):
    def fail(input_ids, scores):
        raise KeyError("mine")

    before = causal_lm.generate(**ONE, do_sample=False, max_new_tokens=5)
    with pytest.raises(KeyError, match="mine"):
        causal_lm.generate(**ONE, do_sample=False, max_new_tokens=5, logits_processor=[fail])
    np.testing.assert_array_equal(before, causal_lm.generate(**ONE, do_sample=False, max_new_tokens=5))


REPETITIVE = {"input_ids": np.array([[5, 6, 7, 8, 5, 6, 7, 8, 5, 6]])}


@pytest.mark.parametrize("name", ["causal_lm", "growing_lm"])
@pytest.mark.parametrize("options", [{}, {"repetition_penalty": 1.3}, {"eos_token_id": [2, 17, 33]}])
def test_prompt_lookup_gives_the_same_tokens(name, options, request):
    loaded = request.getfixturevalue(name)
    options = {"do_sample": False, "max_new_tokens": 24, **options}
    plain = loaded.generate(**REPETITIVE, **options)
    np.testing.assert_array_equal(plain, loaded.generate(**REPETITIVE, prompt_lookup_num_tokens=4, **options))


def test_prompt_lookup_draws_the_same_tokens(causal_lm):
    options = {"do_sample": True, "max_new_tokens": 24, "seed": 5, "top_k": 3}
    plain = causal_lm.generate(**REPETITIVE, **options)
    np.testing.assert_array_equal(plain, causal_lm.generate(**REPETITIVE, prompt_lookup_num_tokens=4, **options))


def test_prompt_lookup_takes_fewer_steps(causal_lm, monkeypatch):
    """A model that repeats itself: its tokens are guessed from what it said before."""
    steps = []
    original = causal_lm.decoder._call
    monkeypatch.setattr(causal_lm.decoder, "_call", lambda feeds: steps.append(1) or original(feeds))
    options = {"do_sample": False, "max_new_tokens": 60, "eos_token_id": None}
    plain = causal_lm.generate(**REPETITIVE, **options)
    num_plain = len(steps)
    steps.clear()
    np.testing.assert_array_equal(plain, causal_lm.generate(**REPETITIVE, prompt_lookup_num_tokens=6, **options))
    assert len(steps) < num_plain


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [("causal_lm", BATCH, "one prompt at a time; got 3"), ("recurrent_lm", ONE, "recurrent state")],
)
def test_prompt_lookup_is_refused_where_it_cannot_be(name, inputs, message, request):
    with pytest.raises(OptionError, match=message):
        request.getfixturevalue(name).generate(**inputs, prompt_lookup_num_tokens=4, do_sample=False, max_new_tokens=8)


def test_a_processor_that_returns_nonsense_is_named(causal_lm):
    with pytest.raises(InputError, match="logits processor returned"):
        causal_lm.generate(**ONE, max_new_tokens=2, logits_processor=[lambda ids, scores: scores[:, :3]])
