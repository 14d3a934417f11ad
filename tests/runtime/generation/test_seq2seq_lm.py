"""AutoModelForSeq2SeqLM called by hand and by generate(), beside transformers on the same weights."""

import numpy as np
import pytest
import torch

from headway.runtime.errors import InputError, InputTooLongError, InputTypeError, OptionError
from headway.runtime.generation.outputs import GenerateBeamEncoderDecoderOutput, GenerateEncoderDecoderOutput

BATCH = {
    "input_ids": np.array([[5, 6, 7, 0, 0], [9, 10, 11, 12, 13], [21, 0, 0, 0, 0]]),
    "attention_mask": np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]]),
}
DECODER_IDS = np.array([[2, 30, 31], [2, 40, 41], [2, 50, 51]])
GREEDY = {"do_sample": False, "max_new_tokens": 10, "eos_token_id": None}
KINDS = {"t5_lm": "spread_t5", "bart_lm": "tiny_bart"}


@pytest.fixture(params=KINDS)
def loaded(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def model(request, loaded):
    return request.getfixturevalue(KINDS[request.node.callspec.params["loaded"]])


def tensors(**inputs):
    return {name: torch.tensor(value) for name, value in inputs.items()}


def test_logits_of_every_decoder_token(loaded, model):
    with torch.no_grad():
        expected = model(**tensors(**BATCH, decoder_input_ids=DECODER_IDS))
    output = loaded(**BATCH, decoder_input_ids=DECODER_IDS)
    np.testing.assert_allclose(output.logits, expected.logits.numpy(), rtol=1e-3, atol=1e-4)
    kept = BATCH["attention_mask"] != 0
    states = expected.encoder_last_hidden_state.numpy()
    np.testing.assert_allclose(output.encoder_last_hidden_state[kept], states[kept], rtol=1e-3, atol=1e-4)
    assert len(loaded(**BATCH, decoder_input_ids=DECODER_IDS, return_dict=False)) == 3
    assert loaded(**BATCH, decoder_input_ids=DECODER_IDS, use_cache=False).past_key_values is None


@pytest.mark.parametrize("use_cache", [False, True])
def test_the_manual_loop(loaded, use_cache):
    expected = loaded.generate(**BATCH, **{**GREEDY, "forced_eos_token_id": None})
    encoded = loaded.get_encoder()(**BATCH)
    ids, new, past = expected[:, :1], expected[:, :1], None
    for _ in range(10):
        given = {"decoder_input_ids": new if use_cache else ids, "past_key_values": past}
        output = loaded(encoder_outputs=encoded, attention_mask=BATCH["attention_mask"], **given)
        past = output.past_key_values if use_cache else None
        new = output.logits[:, -1].argmax(axis=-1)[:, None]
        ids = np.concatenate([ids, new], axis=1)
    np.testing.assert_array_equal(ids, expected)


def test_answers_that_begin_as_told(loaded, model):
    ours = loaded.generate(**BATCH, decoder_input_ids=DECODER_IDS, **GREEDY)
    theirs = model.generate(**tensors(**BATCH, decoder_input_ids=DECODER_IDS), **GREEDY)
    np.testing.assert_array_equal(ours, theirs.numpy())


def test_an_encoder_that_ran_before(loaded):
    encoded = loaded.get_encoder()(**BATCH)
    for options in ({}, {"num_beams": 3}):
        expected = loaded.generate(**BATCH, **GREEDY, **options)
        np.testing.assert_array_equal(loaded.generate(encoder_outputs=encoded, **GREEDY, **options), expected)


def test_scores_and_logits_are_those_of_transformers(loaded, model):
    options = {**GREEDY, "return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    options["repetition_penalty"] = 1.4
    ours, theirs = loaded.generate(**BATCH, **options), model.generate(**tensors(**BATCH), **options)
    assert isinstance(ours, GenerateEncoderDecoderOutput)
    np.testing.assert_array_equal(ours.sequences, theirs.sequences.numpy())
    for name in ("scores", "logits"):
        for step, wanted in zip(ours[name], theirs[name], strict=True):
            np.testing.assert_allclose(step, wanted.numpy(), rtol=1e-3, atol=1e-3)


def test_scores_of_beams_are_those_of_transformers(loaded, model):
    options = {**GREEDY, "num_beams": 3, "num_return_sequences": 2, "eos_token_id": [1, 17, 33]}
    options |= {"return_dict_in_generate": True, "output_scores": True}
    ours, theirs = loaded.generate(**BATCH, **options), model.generate(**tensors(**BATCH), **options)
    assert isinstance(ours, GenerateBeamEncoderDecoderOutput)
    np.testing.assert_array_equal(ours.sequences, theirs.sequences.numpy())
    np.testing.assert_allclose(ours.sequences_scores, theirs.sequences_scores.numpy(), rtol=1e-3)
    np.testing.assert_array_equal(ours.beam_indices, theirs.beam_indices.numpy())


def test_rows_do_not_depend_on_their_neighbours(loaded):
    options = {**GREEDY, "do_sample": True, "top_k": 20, "seed": [3, 4, 5]}
    together = loaded.generate(**BATCH, **options)
    for row, (ids, mask) in enumerate(zip(*BATCH.values(), strict=True)):
        alone = loaded.generate(ids[None, mask != 0], **{**options, "seed": [options["seed"][row]]})
        np.testing.assert_array_equal(alone[0], together[row])


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ({}, InputError, "decoder_input_ids is missing"),
        ({"decoder_input_ids": DECODER_IDS[:2]}, InputError, "2 rows for 3 inputs"),
        ({"decoder_input_ids": DECODER_IDS + 20}, InputError, "vocabulary has 0 to 59"),
        ({"decoder_input_ids": DECODER_IDS[0]}, InputTypeError, "decoder_input_ids"),
        ({"decoder_input_ids": DECODER_IDS * 1.0}, InputTypeError, "decoder_input_ids"),
        ({"decoder_input_ids": DECODER_IDS, "past_key_values": 3}, InputTypeError, "past_key_values is a int"),
        ({"decoder_input_ids": DECODER_IDS, "encoder_outputs": 3}, InputError, "get_encoder"),
        ({"decoder_input_ids": DECODER_IDS, "decoder_attention_mask": [[1, 0, 1]] * 3}, InputError, "decoder_att"),
    ],
)
def test_bad_input_of_a_call(loaded, inputs, error, message):
    with pytest.raises(error, match=message):
        loaded(**BATCH, **inputs)


def test_no_input_at_all(loaded):
    with pytest.raises(InputError, match="input_ids is missing"):
        loaded.generate(**GREEDY)


def test_a_decoder_has_so_many_positions(request):
    bart = request.getfixturevalue("bart_lm")
    with pytest.raises(InputTooLongError, match="128"):
        bart(**BATCH, decoder_input_ids=np.full((3, 129), 5))


def test_prompt_lookup_gives_the_same_tokens(loaded):
    one = {name: value[1:2] for name, value in BATCH.items()}
    options = {**GREEDY, "max_new_tokens": 24}
    drafted = loaded.generate(**one, **options, prompt_lookup_num_tokens=4)
    np.testing.assert_array_equal(drafted, loaded.generate(**one, **options))
    with pytest.raises(OptionError, match="one prompt at a time"):
        loaded.generate(**BATCH, **options, prompt_lookup_num_tokens=4)
