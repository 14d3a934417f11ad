"""What generate() refuses, on every kind of model: the error names the argument, and the model goes on."""

import numpy as np
import pytest

from headway.runtime.errors import (
    CacheMemoryError,
    InputError,
    InputTooLongError,
    InputTypeError,
    OptionError,
)
from headway.runtime.generation import memory

IDS = np.array([[5, 6, 7, 8], [9, 10, 11, 12]])
OPTIONS = {"do_sample": False, "max_new_tokens": 4, "eos_token_id": None}
DECODERS = ["causal_lm", "growing_lm", "recurrent_lm"]
MODELS = [*DECODERS, "t5_lm", "bart_lm"]


@pytest.fixture(params=MODELS)
def loaded(request):
    return request.getfixturevalue(request.param)


def mask(*rows):
    return {"input_ids": IDS, "attention_mask": np.array(rows)}


INPUTS = {
    "floats": ({"input_ids": IDS.astype(float)}, InputTypeError, "integers"),
    "one axis": ({"input_ids": IDS[0]}, InputTypeError, "integers"),
    "three axes": ({"input_ids": IDS[None]}, InputTypeError, "integers"),
    "text": ({"input_ids": "hello"}, InputTypeError, "integers"),
    "objects": ({"input_ids": np.array([[5, None]])}, InputTypeError, "integers"),
    "ragged": ({"input_ids": [[5, 6], [7]]}, InputTypeError, "padding=True"),
    "whole tokenizer output": ({"inputs": {"input_ids": IDS}}, InputTypeError, r"generate\(\*\*inputs\)"),
    "both names": ({"inputs": IDS, "input_ids": IDS}, InputError, "two names"),
    "below the vocabulary": ({"input_ids": -IDS}, InputError, "vocabulary has 0 to 59"),
    "above the vocabulary": ({"input_ids": IDS + 50}, InputError, "vocabulary has 0 to 59"),
    "no token": ({"input_ids": np.zeros((2, 0), int)}, InputError, "one token|no token"),
    "no row": ({"input_ids": np.zeros((0, 4), int)}, InputError, "one row|no token"),
    "a row of padding": (mask([1, 1, 1, 1], [0, 0, 0, 0]), InputError, "Row 1"),
    "mask of other length": (mask([1, 1, 1], [1, 1, 1]), InputError, "attention_mask"),
    "mask of one axis": ({"input_ids": IDS, "attention_mask": np.ones(4, int)}, InputError, "attention_mask"),
    "mask of text": ({"input_ids": IDS, "attention_mask": "yes"}, InputTypeError, "attention_mask"),
    "ragged mask": ({"input_ids": IDS, "attention_mask": [[1], [1, 1]]}, InputTypeError, "attention_mask"),
    "mask with nan": (mask([1, 1, 1, 1], [np.nan, 1, 1, 1]), InputError, "attention_mask"),
    "mask to be added": (mask([0, 0, 0, 0], [-np.inf, 0, 0, 0]), InputError, "attention_mask"),
}


@pytest.mark.parametrize("case", INPUTS)
def test_inputs(loaded, case):
    inputs, error, message = INPUTS[case]
    before = loaded.generate(IDS, **OPTIONS)
    with pytest.raises(error, match=message):
        loaded.generate(**inputs, **OPTIONS)
    np.testing.assert_array_equal(before, loaded.generate(IDS, **OPTIONS))


ARGUMENTS = {
    "a lone processor": ({"logits_processor": print}, InputTypeError, "logits_processor=.…"),
    "no processor": ({"logits_processor": [3]}, InputTypeError, "logits_processor is .3."),
    "a lone criterion": ({"stopping_criteria": print}, InputTypeError, "stopping_criteria=.…"),
    "no streamer": ({"streamer": print}, InputTypeError, r"streamer is a .* without put"),
    "no function": ({"prefix_allowed_tokens_fn": 3}, InputTypeError, "prefix_allowed_tokens_fn is a int"),
    "a function that gives nothing": ({"prefix_allowed_tokens_fn": lambda *row: None}, InputError, "allows the tokens"),
    "no tokenizer": ({"stop_strings": "a"}, OptionError, "tokenizer="),
    "no configuration": ({"generation_config": {"top_k": 3}}, InputTypeError, "generation_config is a dict"),
    "padding outside": ({"pad_token_id": 60}, OptionError, "pad_token_id=60 is not in the vocabulary"),
    "forced outside": ({"forced_eos_token_id": [2, 60]}, OptionError, r"forced_eos_token_id=\[2, 60\] is not"),
    "banned outside": ({"bad_words_ids": [[60]]}, OptionError, "bad_words_ids holds token 60"),
    "an argument of others": ({"inputs_embeds": np.zeros((2, 4, 16))}, OptionError, "inputs_embeds"),
    "one seed for two rows": ({"do_sample": True, "seed": [1]}, OptionError, "one per row"),
    "nothing left to draw": (
        {"do_sample": True, "suppress_tokens": list(range(60)), "forced_eos_token_id": None},
        OptionError,
        "cannot be sampled",
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments(loaded, case):
    arguments, error, message = ARGUMENTS[case]
    with pytest.raises(error, match=message):
        loaded.generate(IDS, **{**OPTIONS, **arguments})


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint16, np.float32])
@pytest.mark.parametrize("name", DECODERS)
def test_masks_of_other_dtypes(request, name, kind):
    loaded, given = request.getfixturevalue(name), np.array([[0, 0, 1, 1], [1, 1, 1, 1]])
    expected = loaded.generate(IDS, attention_mask=given, **OPTIONS)
    np.testing.assert_array_equal(loaded.generate(IDS, attention_mask=given.astype(kind), **OPTIONS), expected)


@pytest.mark.parametrize("name", DECODERS)
def test_holes_in_a_mask_are_left_out(request, name):
    loaded = request.getfixturevalue(name)
    with_hole = loaded.generate(IDS[:1], attention_mask=np.array([[1, 0, 1, 1]]), **OPTIONS)
    np.testing.assert_array_equal(with_hole[:, 4:], loaded.generate(IDS[:1, [0, 2, 3]], **OPTIONS)[:, 3:])


def test_tensors_of_torch_are_taken(loaded):
    import torch

    inputs = {"input_ids": torch.tensor(IDS), "attention_mask": torch.ones(IDS.shape, dtype=torch.int64)}
    np.testing.assert_array_equal(loaded.generate(**inputs, **OPTIONS), loaded.generate(IDS, **OPTIONS))


@pytest.mark.parametrize("name", ["causal_lm", "bart_lm"])
@pytest.mark.parametrize(
    ("inputs", "options"),
    [(np.full((1, 200), 5), {}), (IDS, {"max_new_tokens": 200}), (IDS, {"max_new_tokens": None, "max_length": 200})],
)
def test_longer_than_the_model(request, name, inputs, options):
    with pytest.raises(InputTooLongError, match="128"):
        request.getfixturevalue(name).generate(inputs, **{**OPTIONS, **options})


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"do_sample": True, "num_return_sequences": 4}])
def test_a_cache_larger_than_memory(loaded, options, monkeypatch):
    before = loaded.generate(IDS, **OPTIONS)
    with monkeypatch.context() as patch:
        patch.setattr(memory, "available_memory_bytes", lambda: 100)
        with pytest.raises(CacheMemoryError, match=r"needs [\d,]+ bytes; 100 are free"):
            loaded.generate(IDS, **{**OPTIONS, **options})
    np.testing.assert_array_equal(before, loaded.generate(IDS, **OPTIONS))


def test_memory_for_every_beam_is_asked_for(request, monkeypatch):
    """One row fits, its four beams do not."""
    loaded = request.getfixturevalue("growing_lm")
    one_row = sum(spec.size_bytes(1, 8) for spec in loaded.decoder.specs)
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: one_row)
    loaded.generate(IDS[:1], **OPTIONS)
    with pytest.raises(CacheMemoryError, match=f"4 x 8 tokens needs {4 * one_row:,} bytes"):
        loaded.generate(IDS[:1], num_beams=4, **OPTIONS)


class Failing:
    """Processor, criterion, prefix function and streamer that raise the third time they are asked."""

    def __init__(self):
        self.calls = 0

    def __call__(self, *arguments):
        self.calls += 1
        if self.calls == 3:
            raise KeyError("mine")
        return arguments[1] if isinstance(arguments[1], np.ndarray) else False

    def allow(self, batch_index, input_ids):
        self(batch_index, input_ids)
        return range(60)

    def put(self, value):
        self(self, value)

    def end(self):
        pass


CALLBACKS = {
    "logits_processor": lambda: [Failing()],
    "stopping_criteria": lambda: [Failing()],
    "prefix_allowed_tokens_fn": lambda: Failing().allow,
    "streamer": Failing,
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_an_error_of_a_callback_comes_out(loaded, name):
    before = loaded.generate(IDS[:1], **OPTIONS)
    with pytest.raises(KeyError, match="mine"):
        loaded.generate(IDS[:1], **OPTIONS, **{name: CALLBACKS[name]()})
    np.testing.assert_array_equal(before, loaded.generate(IDS[:1], **OPTIONS))


@pytest.mark.parametrize("name", ["causal_lm", "growing_lm"])
def test_a_cache_survives_an_error(request, name):
    """What a failed call left in the caller's cache is true, and is reused or forgotten as any other past."""
    loaded = request.getfixturevalue(name)
    past = loaded(IDS[:1, :2]).past_key_values
    with pytest.raises(KeyError, match="mine"):
        loaded.generate(IDS[:1], past_key_values=past, logits_processor=[Failing()], **OPTIONS)
    for prompt in (IDS[:1], IDS[1:]):
        reused = loaded.generate(prompt, past_key_values=past, **OPTIONS)
        np.testing.assert_array_equal(reused, loaded.generate(prompt, **OPTIONS))


def test_a_past_that_is_none(request):
    for name in DECODERS:
        loaded = request.getfixturevalue(name)
        with pytest.raises(InputTypeError, match="past_key_values is a int"):
            loaded.generate(IDS, past_key_values=3, **OPTIONS)
        with pytest.raises(InputTypeError, match="past_key_values is a tuple"):
            loaded(IDS, past_key_values=(1, 2))


def test_a_batch_whose_first_row_ends_at_once(loaded):
    """The other rows go on as they would without it."""
    width = IDS.shape[1] if hasattr(loaded, "decoder") else 1
    options = {**OPTIONS, "max_new_tokens": 8, "pad_token_id": 0, "no_repeat_ngram_size": 1}
    free = loaded.generate(IDS, **options)[:, width:]
    end = next(token for token in free[0].tolist() if token not in free[1])
    position = free[0].tolist().index(end)
    ended = loaded.generate(IDS, **{**options, "eos_token_id": end})[:, width:]
    assert ended[0].tolist() == [*free[0, : position + 1], *[0] * (ended.shape[1] - position - 1)]
    np.testing.assert_array_equal(ended[1], free[1])
