"""How a call's options, a config object, the model's file and the defaults come together: as in transformers."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig as TransformersConfig

from headway.runtime.errors import InputTooLongError, InputTypeError, OptionError
from headway.runtime.generation.config import GenerationConfig
from headway.runtime.generation.config_options import OPTIONS
from headway.runtime.generation.config_resolve import resolve_config, resolve_lengths

SAMPLES = {
    "max_length": st.integers(20, 40),
    "max_new_tokens": st.integers(1, 20),
    "min_length": st.integers(0, 8),
    "min_new_tokens": st.integers(0, 1),
    "do_sample": st.booleans(),
    "temperature": st.floats(0.1, 2),
    "top_k": st.integers(0, 60),
    "num_return_sequences": st.integers(1, 4),
    "length_penalty": st.floats(-1, 2),
    "eos_token_id": st.one_of(st.integers(0, 9), st.lists(st.integers(0, 9), min_size=1, max_size=2)),
    "repetition_penalty": st.floats(0.5, 2),
    "pad_token_id": st.integers(0, 9),
}
# transformers checks num_return_sequences against num_beams in every config alone.
some_options = st.fixed_dictionaries({"num_beams": st.just(4)}, optional=SAMPLES)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    in_file=some_options,
    in_config=st.none() | some_options,
    in_call=st.fixed_dictionaries({}, optional=SAMPLES),
    removed=st.sets(st.sampled_from(["top_k", "temperature", "repetition_penalty", "eos_token_id"])),
    prompt_length=st.integers(1, 15),
)
def test_the_same_values_as_transformers(tiny_llama, in_file, in_config, in_call, removed, prompt_length):
    in_call = in_call | dict.fromkeys(removed)
    ours = resolve_config(
        GenerationConfig.from_dict(in_file), None if in_config is None else GenerationConfig(**in_config), **in_call
    )
    ours = resolve_lengths(ours, prompt_length, context_length=128)

    before = tiny_llama.generation_config
    tiny_llama.generation_config = TransformersConfig(**in_file)
    try:
        given_config = None if in_config is None else TransformersConfig(**in_config)
        theirs, unused = tiny_llama._prepare_generation_config(given_config, **in_call)
        all_set = in_file | (in_config or {}) | in_call
        theirs = tiny_llama._prepare_generated_length(
            theirs, "max_length" not in all_set, "min_length" not in all_set, "input_ids", prompt_length, None
        )
    finally:
        tiny_llama.generation_config = before
    assert unused == {}
    for name in OPTIONS.keys() - {"seed"}:
        assert getattr(ours, name) == getattr(theirs, name), name


def test_explicit_names_what_the_caller_set():
    defaults = GenerationConfig(top_k=3, eos_token_id=2)
    config = resolve_config(defaults, GenerationConfig(top_p=0.5), do_sample=True, temperature=None)
    assert config.explicit == {"top_p", "do_sample"}
    assert config.temperature is None


def test_neither_config_is_changed():
    defaults, given_config = GenerationConfig(top_k=3, eos_token_id=[2]), GenerationConfig(top_p=0.5)
    config = resolve_config(defaults, given_config, max_new_tokens=3)
    resolve_lengths(config, 4).eos_token_id.append(6)
    config.eos_token_id.append(5)
    assert (defaults, given_config) == (GenerationConfig(top_k=3, eos_token_id=[2]), GenerationConfig(top_p=0.5))
    assert config.max_length is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unknown_option": 1}, "no generation option 'unknown_option'"),
        ({"do_sample": True, "temperature": 0.0}, "do_sample=False"),
        ({"num_return_sequences": 3}, "num_return_sequences=3 with greedy search"),
        ({"num_return_sequences": 3, "num_beams": 2}, "num_return_sequences=3 is over num_beams=2"),
        ({"prompt_lookup_num_tokens": 3, "num_beams": 2}, "prompt_lookup_num_tokens=3 works with one sequence"),
        ({"prompt_lookup_num_tokens": 3, "num_return_sequences": 2, "do_sample": True}, "num_return_sequences=2"),
        ({"prompt_lookup_num_tokens": 3, "use_cache": False}, "use_cache=False"),
        ({"forced_bos_token_id": 3, "suppress_tokens": [1, 3]}, "forced_bos_token_id=3 is also in suppress_tokens"),
        ({"forced_eos_token_id": [3, 4], "suppress_tokens": [3, 4]}, "forced_eos_token_id"),
        ({"min_length": 9, "max_length": 8}, "min_length=9 asks for at least 9"),
        ({"min_new_tokens": 5, "max_new_tokens": 4}, "min_new_tokens=5 asks for at least 7"),
        ({"max_length": 2}, "max_length=2 counts the prompt, which already has 2"),
        ({"assistant_model": object()}, "assistant_model=.* is not available"),
        ({"guidance_scale": 3.0}, "guidance_scale=3.0 is not available"),
    ],
)
def test_contradictions_are_errors(options, message):
    with pytest.raises(OptionError, match=message):
        resolve_lengths(resolve_config(GenerationConfig(eos_token_id=1), **options), 2)


def test_a_generation_config_of_another_kind():
    with pytest.raises(InputTypeError, match="generation_config is a dict"):
        resolve_config(GenerationConfig(), {"top_k": 3})


def test_what_the_models_file_asks_for_in_vain():
    defaults = GenerationConfig.from_dict({"num_beam_groups": 2, "cache_implementation": "hybrid"})
    with pytest.raises(OptionError, match=r"sets num_beam_groups=2.*Pass num_beam_groups=None"):
        resolve_config(defaults)
    assert resolve_config(defaults, num_beam_groups=None).num_beams == 1


def test_a_wrong_value_in_the_models_file_can_be_overridden():
    defaults = GenerationConfig.from_dict({"top_p": 7})
    with pytest.raises(OptionError, match="top_p=7 is not allowed"):
        resolve_config(defaults)
    assert resolve_config(defaults, top_p=0.5).top_p == 0.5


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ({"temperature": 0.5}, "temperature=0.5 has no effect without do_sample=True"),
        ({"top_p": 0.5, "do_sample": False}, "top_p=0.5 has no effect"),
        ({"top_k": 5}, "top_k=5 has no effect"),
        ({"length_penalty": 2.0}, "length_penalty=2.0 has no effect without num_beams over 1"),
        ({"early_stopping": True}, "early_stopping=True has no effect"),
        ({"output_scores": True}, "output_scores=True has no effect without return_dict_in_generate=True"),
        ({"max_length": 9, "max_new_tokens": 4}, "max_new_tokens=4 overrides max_length=9"),
        ({"temperature": 0.0}, None),
        ({"temperature": 1.0, "top_k": 50, "top_p": 1.0}, None),
        ({"temperature": 0.5, "do_sample": True}, None),
        ({"top_p": None, "temperature": None, "do_sample": False}, None),
    ],
)
def test_idle_options_of_the_caller_are_warned_about(caplog, options, warning):
    with caplog.at_level(logging.WARNING, logger="headway"):
        resolve_lengths(resolve_config(GenerationConfig(), **options), 2)
    assert (warning in caplog.text) if warning else (caplog.text == "")


def test_idle_options_of_the_model_are_not(caplog):
    defaults = GenerationConfig(temperature=0.5, top_p=0.5, length_penalty=2.0, early_stopping=True)
    with caplog.at_level(logging.WARNING, logger="headway"):
        resolve_config(defaults, do_sample=False)
    assert caplog.text == ""


def test_min_length_of_the_model_gives_way(caplog):
    """A summariser's min_length of 56 does not keep anyone from asking for 20 tokens."""
    with caplog.at_level(logging.WARNING, logger="headway"):
        config = resolve_lengths(resolve_config(GenerationConfig(min_length=56), max_new_tokens=20), 1)
    assert (config.min_length, config.max_length) == (56, 21)
    assert "Generation stops at 21 tokens" in caplog.text


@pytest.mark.parametrize(
    ("options", "prompt_length", "expected"),
    [({}, 4, 24), ({}, 90, 100), ({"max_new_tokens": 96}, 4, 100), ({"max_length": 100}, 4, 100)],
)
def test_context_length(options, prompt_length, expected):
    config = resolve_lengths(resolve_config(GenerationConfig(), **options), prompt_length, context_length=100)
    assert config.max_length == expected


def test_the_models_own_length_is_cut_to_its_context():
    config = resolve_lengths(resolve_config(GenerationConfig(max_length=500)), 4, context_length=100)
    assert config.max_length == 100


@pytest.mark.parametrize(
    ("options", "prompt_length", "message"),
    [
        ({}, 100, "prompt has 100 tokens; the model takes 100"),
        ({"max_new_tokens": 97}, 4, "max_new_tokens=97 need 101 positions; the model has 100.*96 new tokens"),
        ({"max_length": 101}, 4, "max_length=101 need 101 positions"),
    ],
)
def test_over_the_context_length(options, prompt_length, message):
    with pytest.raises(InputTooLongError, match=message):
        resolve_lengths(resolve_config(GenerationConfig(), **options), prompt_length, context_length=100)
