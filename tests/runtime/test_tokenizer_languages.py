"""Source and target languages against transformers' translation tokenizers."""

from pathlib import Path
from typing import Any

import pytest
import tiny_tokenizers
import transformers
from tokenizer_parity import assert_same_batch

from headway.export.tokenizer import save_tokenizer
from headway.runtime import AutoTokenizer
from headway.runtime.errors import OptionError

LANGUAGES = {
    "MBartTokenizer": ("en_XX", "ro_RO", "de_DE"),
    "MBart50Tokenizer": ("en_XX", "uk_UA", "de_DE"),
    "NllbTokenizer": ("eng_Latn", "ukr_Cyrl", "deu_Latn"),
}
TEXTS = ["Hello world!", "naïve café"]
CASES = [(name, {}) for name in LANGUAGES] + [("NllbTokenizer", {"legacy_behaviour": True})]


@pytest.mark.parametrize("saved_by", ["headway", "transformers"])
@pytest.mark.parametrize(("class_name", "options"), CASES, ids=str)
def test_languages(class_name: str, options: dict[str, Any], saved_by: str, tmp_path: Path) -> None:
    _, source, target = LANGUAGES[class_name]
    expected = tiny_tokenizers.build(class_name, src_lang=source, **options)
    if saved_by == "headway":
        save_tokenizer(expected, tmp_path)
    else:
        expected.save_pretrained(tmp_path)
        expected = transformers.AutoTokenizer.from_pretrained(tmp_path)
    actual = AutoTokenizer.from_pretrained(tmp_path)
    assert actual.src_lang == expected.src_lang == source
    assert_same_batch(expected(TEXTS, TEXTS), actual(TEXTS, TEXTS))
    assert_same_batch(expected(TEXTS, text_target=TEXTS), actual(TEXTS, text_target=TEXTS))
    for tokenizer in (expected, actual):
        tokenizer.tgt_lang = target
    assert_same_batch(expected(TEXTS, text_target=TEXTS), actual(TEXTS, text_target=TEXTS))
    assert_same_batch(expected(text_target=TEXTS), actual(text_target=TEXTS))
    assert_same_batch(expected(TEXTS), actual(TEXTS))
    for tokenizer in (expected, actual):
        tokenizer.src_lang = target
    assert_same_batch(expected(TEXTS), actual(TEXTS))
    assert actual.get_lang_id(target) == expected.convert_tokens_to_ids(target)
    actual.save_pretrained(tmp_path / "again")
    again = AutoTokenizer.from_pretrained(tmp_path / "again")
    assert (again.src_lang, again.tgt_lang) == (target, target)
    assert_same_batch(expected(TEXTS), again(TEXTS))


@pytest.mark.parametrize("class_name", LANGUAGES)
def test_default_language(class_name: str, tmp_path: Path) -> None:
    save_tokenizer(tiny_tokenizers.build(class_name), tmp_path)
    default, source, _ = LANGUAGES[class_name]
    assert AutoTokenizer.from_pretrained(tmp_path).src_lang == default
    overridden = AutoTokenizer.from_pretrained(tmp_path, src_lang=source)
    expected = tiny_tokenizers.build(class_name, src_lang=source)
    assert_same_batch(expected(TEXTS), overridden(TEXTS))


def test_bad_languages(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    (tmp_path / "one").mkdir()
    save_tokenizer(tiny_tokenizers.build("MBartTokenizer"), tmp_path / "many")
    many = AutoTokenizer.from_pretrained(tmp_path / "many")
    for name in ("src_lang", "tgt_lang"):
        with pytest.raises(OptionError, match=r"language 'tlh': this tokenizer has ar_AR, cs_CZ"):
            setattr(many, name, "tlh")
    save_tokenizer(tiny_tokenizers.build("BertTokenizer"), tmp_path / "one")
    one = AutoTokenizer.from_pretrained(tmp_path / "one")
    assert one.src_lang is None
    for name in ("src_lang", "tgt_lang"):
        with pytest.raises(OptionError, match="marks no languages"):
            setattr(one, name, "en_XX")
