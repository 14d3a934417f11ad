"""Tokenizers that are changed after they were loaded, and where they go then: to a folder, a pickle, the hub."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizer_parity import assert_same_batch, assert_same_settings

from headway.runtime import AutoTokenizer
from headway.runtime.errors import InputError, InputTypeError, OptionError

TEXTS = ["Hello world, naïve café!", "a <mask> b [MASK] c", "<extra> tokens <ent> UPPER", "日本語 🙂"]


def test_special_tokens_can_be_set(bert_folder: Path) -> None:
    expected, actual = (
        transformers.AutoTokenizer.from_pretrained(bert_folder),
        AutoTokenizer.from_pretrained(bert_folder),
    )
    for tokenizer in (expected, actual):
        tokenizer.pad_token = "[CLS]"
        tokenizer.mask_token_id = 3
        tokenizer.bos_token = "not in the vocabulary"
        tokenizer.extra_special_tokens = ["!"]
        assert tokenizer.add_tokens("<new>") == 1
        assert tokenizer.add_tokens(["<new>", "<newer>"]) == 1
        assert tokenizer.add_special_tokens({"eos_token": "<eos>", "additional_special_tokens": ["<one>"]}) == 2
        assert (
            tokenizer.add_special_tokens({"extra_special_tokens": ["<two>"]}, replace_extra_special_tokens=False) == 1
        )
    assert_same_settings(expected, actual)
    assert actual.vocab == actual.get_vocab()
    assert actual.additional_special_tokens == ["<one>", "<two>"]
    texts = ["a <new> b<newer>c <eos> <one><two>"]
    assert_same_batch(expected(texts), actual(texts))
    ids = expected(texts[0])["input_ids"]
    assert actual.get_special_tokens_mask(ids) == expected.get_special_tokens_mask(ids, already_has_special_tokens=True)
    assert actual.max_len_single_sentence == expected.max_len_single_sentence
    assert actual.max_len_sentences_pair == expected.max_len_sentences_pair
    with pytest.raises(OptionError, match="got the special token name 'colour'"):
        actual.add_special_tokens({"colour": "red"})
    with pytest.raises(InputTypeError, match="a special token is a str"):
        actual.pad_token = 3
    with pytest.raises(AttributeError, match="no attribute 'colour_token'"):
        _ = actual.colour_token


def test_saved_changes(bert_folder: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(bert_folder)
    tokenizer.pad_token = None
    tokenizer.padding_side = "left"
    tokenizer.chat_template = {"default": "{{ 1 }}", "rag": "{{ 2 }}"}
    tokenizer.add_special_tokens({"extra_special_tokens": ["<extra>"]})
    paths = tokenizer.save_pretrained(tmp_path / "saved")
    assert all(Path(path).is_file() for path in paths)
    for again in (AutoTokenizer, transformers.AutoTokenizer):
        assert_same_settings(tokenizer, again.from_pretrained(tmp_path / "saved"))
    with pytest.raises(InputError, match="is a file"):
        tokenizer.save_pretrained(bert_folder / "tokenizer.json")
    tokenizer.chat_template = {"../up": "x"}
    with pytest.raises(InputError, match="may hold no slash"):
        tokenizer.save_pretrained(tmp_path / "saved")


def test_pickled(bert_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(bert_folder, padding_side="left")
    again = pickle.loads(pickle.dumps(tokenizer))
    assert_same_settings(tokenizer, again)
    assert_same_batch(tokenizer(TEXTS, padding=True), again(TEXTS, padding=True))


def test_pushed(bert_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: dict[str, Any] = {}

    def push(folder: str, repo_id: str, **options: Any) -> str:
        pushed.update(names=sorted(path.name for path in Path(folder).iterdir()), repo_id=repo_id, **options)
        return "address"

    monkeypatch.setattr("headway.runtime.tokenization.tokenizer.push_folder", push)
    assert AutoTokenizer.from_pretrained(bert_folder).push_to_hub("me/mine", private=True) == "address"
    names = ["special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"]
    assert pushed == {"names": names, "repo_id": "me/mine", "private": True}
