"""GenerationConfig: its options, what it refuses, and its files."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from transformers import GenerationConfig as TransformersConfig

from headway.runtime.errors import ArtifactNotFoundError, OptionError
from headway.runtime.generation.config import GenerationConfig
from headway.runtime.generation.config_options import GLOBAL_DEFAULTS, OPTIONS, REFUSED

# A value for every option, none a default.
VALUES = {
    "max_length": 30,
    "max_new_tokens": 7,
    "min_length": 2,
    "min_new_tokens": 3,
    "early_stopping": "never",
    "max_time": 1.5,
    "stop_strings": ["stop"],
    "do_sample": True,
    "num_beams": 3,
    "use_cache": False,
    "temperature": 0.5,
    "top_k": 9,
    "top_p": 0.4,
    "min_p": 0.1,
    "top_h": 0.3,
    "typical_p": 0.9,
    "epsilon_cutoff": 0.01,
    "eta_cutoff": 0.02,
    "repetition_penalty": 1.2,
    "encoder_repetition_penalty": 1.3,
    "length_penalty": -0.5,
    "no_repeat_ngram_size": 2,
    "encoder_no_repeat_ngram_size": 3,
    "bad_words_ids": [[1, 2], [3]],
    "sequence_bias": [[[1, 2], 0.5]],
    "renormalize_logits": True,
    "forced_bos_token_id": 4,
    "forced_eos_token_id": [5, 6],
    "remove_invalid_values": True,
    "exponential_decay_length_penalty": [4, 1.1],
    "suppress_tokens": [7],
    "begin_suppress_tokens": [8],
    "num_return_sequences": 2,
    "output_scores": True,
    "output_logits": True,
    "return_dict_in_generate": True,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": [2, 3],
    "decoder_start_token_id": 1,
    "prompt_lookup_num_tokens": 5,
    "max_matching_ngram_size": 3,
    "seed": [1, 2],
}

WRONG = [
    ("max_length", 0),
    ("max_new_tokens", 0),
    ("max_new_tokens", -3),
    ("max_new_tokens", 2.5),
    ("min_length", -1),
    ("min_new_tokens", -1),
    ("early_stopping", "always"),
    ("max_time", -1.0),
    ("stop_strings", [""]),
    ("stop_strings", 3),
    ("do_sample", 1),
    ("num_beams", 0),
    ("temperature", -0.1),
    ("temperature", float("nan")),
    ("temperature", "hot"),
    ("top_k", -1),
    ("top_k", 2.0),
    ("top_k", True),
    ("top_p", 1.1),
    ("top_p", -0.1),
    ("min_p", 2),
    ("top_h", 0),
    ("typical_p", 0),
    ("epsilon_cutoff", 1),
    ("eta_cutoff", -0.1),
    ("repetition_penalty", 0),
    ("encoder_repetition_penalty", -1.0),
    ("length_penalty", float("inf")),
    ("no_repeat_ngram_size", -1),
    ("bad_words_ids", []),
    ("bad_words_ids", [[]]),
    ("bad_words_ids", [3]),
    ("bad_words_ids", [[-1]]),
    ("sequence_bias", []),
    ("sequence_bias", [[[], 1.0]]),
    ("sequence_bias", {(1, 2): "much"}),
    ("forced_eos_token_id", -2),
    ("exponential_decay_length_penalty", (3,)),
    ("suppress_tokens", "abc"),
    ("num_return_sequences", 0),
    ("eos_token_id", []),
    ("eos_token_id", "</s>"),
    ("prompt_lookup_num_tokens", 0),
    ("max_matching_ngram_size", 0),
    ("seed", -1),
    ("seed", 1.5),
]


def test_every_option_of_transformers_is_here_or_refused_with_a_reason():
    theirs = {name for name in TransformersConfig().to_dict() if not name.startswith("_")} - {"transformers_version"}
    assert theirs <= OPTIONS.keys() | REFUSED.keys()
    assert not OPTIONS.keys() & REFUSED.keys()
    assert OPTIONS.keys() - theirs == {"seed"}


def test_defaults_are_those_of_transformers():
    theirs = TransformersConfig._get_default_generation_params()
    assert theirs.pop("max_length") == 20  # new tokens, see config_resolve
    ours = {name: value for name, value in theirs.items() if name in OPTIONS and value is not None}
    assert dict(GLOBAL_DEFAULTS) == ours


def test_every_option_reads_back():
    assert VALUES.keys() == OPTIONS.keys()
    config = GenerationConfig(**VALUES)
    assert {name: getattr(config, name) for name in VALUES} == VALUES
    assert all(getattr(GenerationConfig(), name) is None for name in VALUES)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_value_out_of_range_names_the_option_and_what_is_allowed(name, value):
    with pytest.raises(OptionError, match=f"{name}=.* is not allowed; {name} takes "):
        GenerationConfig(**{name: value})


@pytest.mark.parametrize("value", [np.int64(5), np.int32(5)])
def test_numpy_numbers_are_numbers(value):
    config = GenerationConfig(top_k=value)
    assert config.top_k == 5
    assert json.dumps(config.to_diff_dict()) == '{"top_k": 5}'


def test_an_unknown_option_suggests_the_known_one():
    with pytest.raises(OptionError, match=r"no generation option 'max_new_token'\. Did you mean max_new_tokens"):
        GenerationConfig(max_new_token=3)
    with pytest.raises(OptionError, match=r"no generation option 'frobnicate'\. The options are bad_words_ids"):
        GenerationConfig(frobnicate=3)
    config = GenerationConfig()
    with pytest.raises(OptionError, match="'top_pp'"):
        config.top_pp = 0.5


@pytest.mark.parametrize("name", ["logits_processor", "stopping_criteria", "streamer", "prefix_allowed_tokens_fn"])
def test_arguments_of_generate_are_no_options(name):
    with pytest.raises(OptionError, match=f"{name} is an argument of generate"):
        GenerationConfig(**{name: []})


@pytest.mark.parametrize("name", REFUSED)
def test_refused_options_say_why_and_take_what_changes_nothing(name):
    for value in REFUSED[name].neutral:
        assert getattr(GenerationConfig(**{name: value}), name) == value
    if name != "disable_compile":
        with pytest.raises(OptionError, match=f"{name}=0.7 is not available: "):
            GenerationConfig(**{name: 0.7})


def test_a_file_keeps_what_headway_does_not_use(tmp_path, caplog):
    values = {
        "lang_to_id": {"<|en|>": 3},
        "top_k": 4,
        "penalty_alpha": 0.6,
        "transformers_version": "4.1",
        "_from_model_config": True,
    }
    (tmp_path / "generation_config.json").write_text(json.dumps(values))
    with caplog.at_level(logging.DEBUG, logger="headway"):
        config = GenerationConfig.from_pretrained(tmp_path)
    assert "lang_to_id" in caplog.text
    assert config.lang_to_id == {"<|en|>": 3}
    assert config.top_k == 4
    config.save_pretrained(tmp_path / "again")
    written = json.loads((tmp_path / "again" / "generation_config.json").read_text())
    del values["_from_model_config"]
    assert written == values
    with pytest.raises(AttributeError, match="no option 'nothing'"):
        _ = config.nothing


def test_a_file_of_transformers_reads_the_same(tmp_path):
    shared = {name: value for name, value in VALUES.items() if name != "seed"}
    TransformersConfig(**shared).save_pretrained(tmp_path)
    ours = GenerationConfig.from_pretrained(tmp_path)
    assert {name: getattr(ours, name) for name in shared} == shared
    ours.save_pretrained(tmp_path / "ours")
    theirs = TransformersConfig.from_pretrained(tmp_path / "ours")
    assert {name: getattr(theirs, name) for name in shared} == shared


def test_sequence_bias_as_a_dict_can_be_saved(tmp_path):
    GenerationConfig(sequence_bias={(1, 2): 0.5}).save_pretrained(tmp_path)
    assert GenerationConfig.from_pretrained(tmp_path).sequence_bias == [[[1, 2], 0.5]]


def test_options_of_the_caller_go_on_top_of_the_file(tmp_path):
    GenerationConfig(top_k=4, top_p=0.5).save_pretrained(tmp_path)
    config = GenerationConfig.from_pretrained(tmp_path, top_k=9)
    assert (config.top_k, config.top_p) == (9, 0.5)
    with pytest.raises(OptionError, match="'top_kk'"):
        GenerationConfig.from_pretrained(tmp_path, top_kk=9)


@pytest.mark.parametrize(
    "values",
    [
        {"max_length": 50, "num_beams": 4, "hidden_size": 8, "eos_token_id": 2, "forced_eos_token_id": None},
        {"decoder": {"max_length": 12, "eos_token_id": 5}, "eos_token_id": 7},
        {"text_config": {"bos_token_id": 3}},
        {"bos_token_id": 3, "force_bos_token_to_be_generated": True},
    ],
)
def test_without_a_file_the_options_of_config_json_count(tmp_path, values):
    (tmp_path / "config.json").write_text(json.dumps(values))
    ours = GenerationConfig.from_pretrained(tmp_path)
    theirs = TransformersConfig.from_pretrained(tmp_path, config_file_name="config.json", _from_model_config=True)
    assert ours.to_diff_dict() == {
        name: value for name, value in theirs.to_dict().items() if name in OPTIONS and value is not None
    }


def test_no_file_at_all(tmp_path):
    with pytest.raises(ArtifactNotFoundError, match=r"no generation_config.json and no config.json"):
        GenerationConfig.from_pretrained(tmp_path)


def test_update_gives_back_what_is_no_option():
    config = GenerationConfig(top_k=3)
    assert config.update(top_k=5, attention_mask=1) == {"attention_mask": 1}
    assert config.top_k == 5
    with pytest.raises(OptionError, match="top_p=7"):
        config.update(top_p=7)


def test_copies_are_independent():
    config = GenerationConfig(eos_token_id=[1, 2])
    other = config.copy()
    assert config == other
    other.eos_token_id.append(3)
    assert config.eos_token_id == [1, 2]
    assert config != other
    assert '"eos_token_id"' in repr(config)


@pytest.mark.parametrize(
    ("options", "ends", "fill"),
    [
        ({}, (), None),
        ({"eos_token_id": 0}, (0,), 0),
        ({"eos_token_id": [4, 5]}, (4, 5), 4),
        ({"eos_token_id": 4, "pad_token_id": 0}, (4,), 0),
        ({"pad_token_id": 3}, (), 3),
    ],
)
def test_end_and_fill_tokens(options, ends, fill):
    config = GenerationConfig(**options)
    assert config.eos_token_ids == ends
    assert config.fill_token_id == fill
