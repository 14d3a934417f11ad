"""Tokenizers of many classes, saved by Headway and by transformers, give in Headway what they give in transformers."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_tokenizers
import transformers
from tokenizer_parity import assert_same_batch, assert_same_settings

from headway.export.convert import _write_tokenizer
from headway.export.tokenizer import save_tokenizer
from headway.runtime import AutoTokenizer
from headway.runtime.errors import CheckpointError

TEXTS = [
    "Hello world!",
    "",
    "  leading and trailing  ",
    "The quick brown fox's café — naïve 日本語 😀👩‍👩‍👧‍👦 don't I'm we've , . ?",
    "line\nbreak\ttab\r\n\x00\x07",
    "<s>special</s> [MASK] <mask> <|endoftext|> <pad>x <extra_id_0> en_XX",
    "العربية עברית",
    "a" * 300,
    "Ünïcödé Ａｂｃ ﬁ",
]
CALLS: list[dict[str, Any]] = [
    {},
    {"add_special_tokens": False, "split_special_tokens": True},
    {"padding": True, "return_tensors": "np", "return_special_tokens_mask": True},
    {"padding": "max_length", "max_length": 24, "truncation": True, "return_offsets_mapping": True},
    {"truncation": True, "max_length": 16, "return_overflowing_tokens": True, "return_length": True},
]


def assert_same_tokenizer(expected: Any, actual: Any) -> None:
    assert_same_settings(expected, actual)
    for call in CALLS:
        if call.get("padding") and expected.pad_token is None:
            continue
        assert_same_batch(expected(TEXTS, **call), actual(TEXTS, **call))
        assert_same_batch(expected(TEXTS, TEXTS[::-1], **call), actual(TEXTS, TEXTS[::-1], **call))
    for text in TEXTS:
        ids = expected(text)["input_ids"]
        for options in ({}, {"skip_special_tokens": True, "clean_up_tokenization_spaces": True}):
            assert actual.decode(ids, **options) == expected.decode(ids, **options)
        tokens = expected.tokenize(text)
        assert actual.tokenize(text) == tokens
        assert actual.convert_tokens_to_string(tokens) == expected.convert_tokens_to_string(tokens)


@pytest.mark.parametrize("class_name", tiny_tokenizers.CLASS_NAMES)
def test_saved_by_headway(class_name: str, tmp_path: Path) -> None:
    expected = tiny_tokenizers.build(class_name, model_max_length=77)
    expected(TEXTS, truncation=True, max_length=5)  # what a call leaves in the Rust tokenizer is not saved
    assert set(save_tokenizer(expected, tmp_path)) == {path.name for path in tmp_path.iterdir()}
    actual = AutoTokenizer.from_pretrained(tmp_path)
    assert_same_tokenizer(expected, actual)
    actual.save_pretrained(tmp_path / "again")
    assert_same_tokenizer(expected, AutoTokenizer.from_pretrained(tmp_path / "again"))


@pytest.mark.parametrize("class_name", tiny_tokenizers.CLASS_NAMES)
def test_saved_by_transformers(class_name: str, tmp_path: Path) -> None:
    tiny_tokenizers.build(class_name).save_pretrained(tmp_path)
    assert_same_tokenizer(transformers.AutoTokenizer.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path))


@pytest.mark.parametrize("class_name", tiny_tokenizers.CLASS_NAMES)
def test_parts_that_the_class_builds_anew(class_name: str, tmp_path: Path) -> None:
    """transformers' classes take the vocabulary of a tokenizer.json and leave its other parts: so does Headway."""
    tiny_tokenizers.build(class_name).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text())
    strange = {"normalizer": "Lowercase", "pre_tokenizer": "Whitespace", "decoder": "Fuse"}
    content.update({part: {"type": kind} for part, kind in strange.items()})
    path.write_text(json.dumps(content))
    assert_same_tokenizer(transformers.AutoTokenizer.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path))


def test_every_setting_survives(tmp_path: Path) -> None:
    expected = tiny_tokenizers.build(
        "GPT2Tokenizer",
        pad_token="<|pad|>",
        padding_side="left",
        truncation_side="left",
        model_input_names=["input_ids"],
        clean_up_tokenization_spaces=True,
        split_special_tokens=True,
        extra_special_tokens=["<|tool|>", "<|end|>"],
        image_token="<|image|>",
        chat_template={"default": "{{ messages }}\n", "tool_use": "{{ tools }}"},
    )
    expected.add_tokens(["headway", "ünïcode"])
    names = save_tokenizer(expected, tmp_path)
    assert "additional_chat_templates/tool_use.jinja" in names
    actual = AutoTokenizer.from_pretrained(tmp_path)
    assert_same_tokenizer(expected, actual)
    assert (actual.image_token, actual.image_token_id) == ("<|image|>", expected.image_token_id)
    assert actual.tokenize("to headway ünïcode") == expected.tokenize("to headway ünïcode")


@pytest.mark.parametrize("extra", [[], ["<|tool|>"]], ids=["none", "one"])
@pytest.mark.parametrize("class_name", ["BertTokenizer", "T5Tokenizer"])
def test_special_tokens_without_a_name_are_listed_where_there_are_any(
    class_name: str, extra: list[str], tmp_path: Path
) -> None:
    """transformers 4 cannot read an empty list, and classes have tokens of their own where there is none."""
    expected = tiny_tokenizers.build(class_name, extra_special_tokens=extra)
    save_tokenizer(expected, tmp_path)
    actual = AutoTokenizer.from_pretrained(tmp_path)
    actual.save_pretrained(tmp_path / "again")
    for folder in (tmp_path, tmp_path / "again"):
        config = json.loads((folder / "tokenizer_config.json").read_text())
        assert config.get("extra_special_tokens") == (extra or None)
        assert ("extra_special_tokens" in config) == bool(extra)
        assert_same_settings(expected, AutoTokenizer.from_pretrained(folder))


def test_a_chat_template_that_would_leave_the_folder_is_refused(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.build("BertTokenizer", chat_template={"default": "", "../up": "x"})
    with pytest.raises(CheckpointError, match=r"'\.\./up'.* may hold no slash"):
        save_tokenizer(tokenizer, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_changed_rust_tokenizer_is_what_counts(tmp_path: Path) -> None:
    expected = tiny_tokenizers.build("BertTokenizer")
    expected.backend_tokenizer.normalizer.lowercase = False
    save_tokenizer(expected, tmp_path)
    assert expected.tokenize("The") != expected.tokenize("the")
    assert_same_tokenizer(expected, AutoTokenizer.from_pretrained(tmp_path))


def test_transformers_reads_what_headway_saves(tmp_path: Path) -> None:
    expected = tiny_tokenizers.build("BertTokenizer")
    save_tokenizer(expected, tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert type(again) is type(expected)
    assert again(TEXTS)["input_ids"] == expected(TEXTS)["input_ids"]


def test_a_processor_has_its_tokenizer_saved(tmp_path: Path) -> None:
    class Processor:
        tokenizer = tiny_tokenizers.build("BertTokenizer")

    assert "tokenizer.json" in save_tokenizer(Processor(), tmp_path)


def test_a_tokenizer_without_rust_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"CanineTokenizer .* no conversion"):
        save_tokenizer(transformers.CanineTokenizer(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_export_goes_on_without_such_a_tokenizer(tmp_path: Path) -> None:
    checkpoint: Any = SimpleNamespace(tokenizer=transformers.CanineTokenizer(), warnings=[])
    _write_tokenizer(checkpoint, tmp_path)
    assert not list(tmp_path.iterdir())
    assert re.match("No tokenizer: the artifact takes arrays, .*CanineTokenizer", checkpoint.warnings[0])
