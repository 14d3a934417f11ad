"""Tokenizer folders of every make: what the files say, what the caller overrides, what is broken."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny_tokenizers
import transformers
from tokenizer_parity import assert_same_batch, assert_same_settings

from headway.runtime import AutoTokenizer, Tokenizer
from headway.runtime.errors import (
    ArtifactNotFoundError,
    CorruptArtifactError,
    OptionError,
)
from headway.runtime.tokenization.classes import CLASS_DEFAULTS
from headway.runtime.tokenization.model_types import CLASS_OF_MODEL_TYPE, GENERIC_CLASS, choose_class

TEXTS = ["Hello world, naïve café!", "a <mask> b [MASK] c", "<extra> tokens <ent> UPPER", "日本語 🙂"]
MASK = {"content": "[MASK]", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def assert_same(folder: Path, **overrides: Any) -> Tokenizer:
    """Headway and transformers load the same tokenizer from the folder."""
    expected = transformers.AutoTokenizer.from_pretrained(folder, **overrides)
    actual = AutoTokenizer.from_pretrained(folder, **overrides)
    assert_same_settings(expected, actual)
    assert_same_batch(expected(TEXTS), actual(TEXTS))
    assert_same_batch(expected(TEXTS, TEXTS), actual(TEXTS, TEXTS))
    return actual


CONFIGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "old": {
        "tokenizer_class": "BertTokenizerFast",
        "added_tokens_decoder": {"4": {**MASK, "special": True}, "900": {**MASK, "content": "<ent>", "special": False}},
        "mask_token": "[MASK]",
        "additional_special_tokens": ["<extra>"],
        "model_max_length": 64,
        "do_lower_case": False,
        "clean_up_tokenization_spaces": True,
    },
    "typed tokens": {
        "tokenizer_class": "BertTokenizer",
        "mask_token": {"__type": "AddedToken", **MASK},
        "extra_special_tokens": [{"__type": "AddedToken", **MASK, "content": "<extra>"}],
    },
    "own tokens": {
        "tokenizer_class": "BertTokenizer",
        "image_token": "<ent>",
        "extra_special_tokens": {"a_token": "café"},
    },
    "sides": {"tokenizer_class": "BertTokenizer", "padding_side": "left", "truncation_side": "left", "max_len": 99},
    "inputs": {"tokenizer_class": "BertTokenizer", "model_input_names": ["input_ids", "attention_mask"]},
    "no class": {"unk_token": "[UNK]", "pad_token": "[PAD]"},
    "generic": {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "mask_token": "[MASK]"},
    "unknown class": {"tokenizer_class": "MyTokenizer", "pad_token": "[PAD]"},
    "ignored": {"tokenizer_class": "BertTokenizer", "add_bos_token": True, "add_eos_token": True},
    "split": {"tokenizer_class": "BertTokenizer", "split_special_tokens": True},
}


@pytest.mark.parametrize("model_type", [None, "bert", "distilbert", "modernbert"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_configs(bert_folder: Path, config: dict[str, Any], model_type: str | None) -> None:
    write(bert_folder, "tokenizer_config.json", config)
    if model_type is not None:
        write(bert_folder, "config.json", {"model_type": model_type})
    assert_same(bert_folder)


def test_tokenizer_json_alone(bert_folder: Path) -> None:
    (bert_folder / "tokenizer_config.json").unlink()
    write(bert_folder, "config.json", {"model_type": "bert"})
    assert assert_same(bert_folder).model_input_names == ["input_ids", "token_type_ids", "attention_mask"]


def test_special_tokens_map(bert_folder: Path) -> None:
    """The map counts only without added_tokens_decoder, and then more than tokenizer_config.json."""
    special = {"mask_token": MASK, "sep_token": "[CLS]", "additional_special_tokens": ["<extra>"]}
    write(bert_folder, "special_tokens_map.json", special)
    assert assert_same(bert_folder).sep_token == "[CLS]"
    config = read(bert_folder, "tokenizer_config.json")
    write(bert_folder, "tokenizer_config.json", {**config, "added_tokens_decoder": {"4": MASK}})
    assert assert_same(bert_folder).sep_token == "[SEP]"


def test_added_tokens_file(bert_folder: Path) -> None:
    num_tokens = len(AutoTokenizer.from_pretrained(bert_folder))
    write(bert_folder, "added_tokens.json", {"<ent>": num_tokens, "café": num_tokens + 1})
    assert assert_same(bert_folder).get_added_vocab()["café"] == num_tokens + 1


def test_padding_and_truncation_stored_in_tokenizer_json(bert_folder: Path) -> None:
    content = read(bert_folder, "tokenizer.json")
    content["padding"] = {
        "strategy": {"Fixed": 9}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 1, "pad_type_id": 0,
        "pad_token": "[PAD]",
    }  # fmt: skip
    content["truncation"] = {"direction": "Left", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    write(bert_folder, "tokenizer.json", content)
    tokenizer = assert_same(bert_folder)
    assert (tokenizer.padding_side, tokenizer.truncation_side) == ("left", "left")


OVERRIDES: list[dict[str, Any]] = [
    {"padding_side": "left", "truncation_side": "left", "model_max_length": 12},
    {"pad_token": "[CLS]", "mask_token": "<mask>"},
    {"add_bos_token": True, "bos_token": "[CLS]"},
    {"additional_special_tokens": ["<extra>", "<ent>"]},
    {"extra_special_tokens": ["<extra>"]},
    {"do_lower_case": False},
    {"strip_accents": False},
    {"model_input_names": ["input_ids"]},
    {"clean_up_tokenization_spaces": True, "split_special_tokens": True},
]


@pytest.mark.parametrize("overrides", OVERRIDES, ids=lambda overrides: ",".join(overrides))
def test_overrides(bert_folder: Path, overrides: dict[str, Any]) -> None:
    assert_same(bert_folder, **overrides)


@pytest.mark.parametrize(
    ("class_name", "overrides"),
    [
        ("RobertaTokenizer", {"add_prefix_space": True}),
        ("GPT2Tokenizer", {"add_prefix_space": True}),
        ("Qwen2Tokenizer", {"add_prefix_space": True}),
        ("XLMRobertaTokenizer", {"add_prefix_space": False}),
        ("LlamaTokenizer", {"add_bos_token": True, "add_eos_token": True}),
        ("GPT2Tokenizer", {"add_bos_token": True}),
        ("GPTNeoXTokenizer", {"add_bos_token": True, "add_eos_token": True}),
        ("GemmaTokenizer", {"add_eos_token": True, "padding_side": "right"}),
    ],
)
def test_overrides_of_other_classes(class_name: str, overrides: dict[str, Any], tmp_path: Path) -> None:
    tiny_tokenizers.build(class_name).save_pretrained(tmp_path)
    words = [["Hello", "world"], ["naïve", "café", "!"]]
    actual = assert_same(tmp_path, **overrides)
    expected = transformers.AutoTokenizer.from_pretrained(tmp_path, **overrides)
    assert_same_batch(expected(words, is_split_into_words=True), actual(words, is_split_into_words=True))


@pytest.mark.parametrize("add_bos", [False, True])
@pytest.mark.parametrize("add_eos", [False, True])
def test_begin_and_end_tokens_can_be_switched(add_bos: bool, add_eos: bool, tmp_path: Path) -> None:
    tiny_tokenizers.build("LlamaTokenizer").save_pretrained(tmp_path)
    expected, actual = transformers.AutoTokenizer.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    for tokenizer in (expected, actual):
        tokenizer.add_bos_token = add_bos
        tokenizer.add_eos_token = add_eos
    assert (actual.add_bos_token, actual.add_eos_token) == (add_bos, add_eos)
    assert_same_batch(expected(TEXTS, TEXTS), actual(TEXTS, TEXTS))


NAMED_TEMPLATES = [{"name": "default", "template": "a"}, {"name": "rag", "template": "b"}]


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer_config.json": {"chat_template": "in config"}},
        {"tokenizer_config.json": {"chat_template": NAMED_TEMPLATES}},
        {"tokenizer_config.json": {"chat_template": "in config"}, "chat_template.jinja": "in\nfile"},
        {"chat_template.jinja": "in file", "additional_chat_templates/tool_use.jinja": "tools"},
        {"additional_chat_templates/tool_use.jinja": "tools"},
    ],
    ids=["config", "list", "file wins", "named files", "no default"],
)  # fmt: skip
def test_chat_templates(bert_folder: Path, files: dict[str, Any]) -> None:
    (bert_folder / "additional_chat_templates").mkdir()
    config = read(bert_folder, "tokenizer_config.json")
    for name, content in files.items():
        if isinstance(content, str):
            (bert_folder / name).write_text(content)
        else:
            write(bert_folder, name, {**config, **content})
    assert assert_same(bert_folder).chat_template


@pytest.mark.parametrize("fix", [False, True])
def test_mistral_splitting(tmp_path: Path, fix: bool, caplog: pytest.LogCaptureFixture) -> None:
    tiny_tokenizers.build("GPT2Tokenizer").save_pretrained(tmp_path)
    content = read(tmp_path, "tokenizer.json")
    content["model"]["vocab"].update({f"token {index}": 1000 + index for index in range(100_000)})
    write(tmp_path, "tokenizer.json", content)
    config = read(tmp_path, "tokenizer_config.json")
    write(tmp_path, "tokenizer_config.json", {**config, "tokenizer_class": "TokenizersBackend"})
    write(tmp_path, "config.json", {"model_type": "mistral", "transformers_version": "4.57.1"})
    texts = ["Hello'S 1234 ünïCODE__x\n\n\n y"]
    expected = transformers.AutoTokenizer.from_pretrained(tmp_path, fix_mistral_regex=fix)
    with caplog.at_level(logging.WARNING, "headway"):
        actual = AutoTokenizer.from_pretrained(tmp_path, fix_mistral_regex=fix)
    assert_same_batch(expected(texts), actual(texts))
    assert ("fix_mistral_regex=True" in caplog.text) is not fix


def test_class_defaults() -> None:
    """The table says what the classes of transformers say."""
    for name, defaults in CLASS_DEFAULTS.items():
        cls = getattr(transformers, name)
        assert list(defaults.model_input_names) == cls.model_input_names, name
        assert defaults.padding_side == cls.padding_side, name
        if name in tiny_tokenizers.CLASS_NAMES:
            tokens = tiny_tokenizers.build(name).special_tokens_map
            own = {token for token in tokens if token in defaults.special_tokens}
            assert {token: tokens[token] for token in own} == dict(defaults.special_tokens), name


def test_model_types() -> None:
    from transformers.models.auto import tokenization_auto as auto

    for model_type, class_name in CLASS_OF_MODEL_TYPE.items():
        assert auto.TOKENIZER_MAPPING_NAMES[model_type] == class_name
    known = {*CLASS_DEFAULTS, GENERIC_CLASS}
    missing = {name for name, cls in auto.TOKENIZER_MAPPING_NAMES.items() if cls in known} - set(CLASS_OF_MODEL_TYPE)
    assert not missing
    misnamed = auto.MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS
    assert {name for name in misnamed if choose_class("X", name, lambda: False) == "X"} <= misnamed - known


@pytest.mark.parametrize(
    ("named", "model_type", "byte_level", "chosen"),
    [
        ("BertTokenizerFast", "bert", False, "BertTokenizer"),
        ("LlamaTokenizerFast", "llama", True, GENERIC_CLASS),
        ("LlamaTokenizer", "llama", False, "LlamaTokenizer"),
        ("LlamaTokenizer", "mistral", True, GENERIC_CLASS),
        ("LlamaTokenizer", "phi3", False, GENERIC_CLASS),
        ("Qwen3Tokenizer", "qwen2", True, "Qwen2Tokenizer"),
        (None, "gpt2", True, "GPT2Tokenizer"),
        (None, None, False, GENERIC_CLASS),
        ("PreTrainedTokenizerFast", "bert", False, GENERIC_CLASS),
    ],
)
def test_choice_of_class(named: str | None, model_type: str | None, byte_level: bool, chosen: str) -> None:
    assert choose_class(named, model_type, lambda: byte_level) == chosen


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", b"", "0 bytes"),
        ("tokenizer.json", b'{"version": "1.0"}', "Model missing"),
        ("tokenizer.json", b"[1, 2]", "not a tokenizer"),
        ("tokenizer.json", b"\xff\xfe\x00", "not a tokenizer"),
        ("tokenizer_config.json", b'{"pad_token": ', "not readable JSON"),
        ("tokenizer_config.json", b"[]", "an object was expected"),
        ("tokenizer_config.json", b'{"pad_token": 3}', "special token"),
        ("tokenizer_config.json", b'{"chat_template": 3}', "chat_template is a int"),
        ("special_tokens_map.json", b"\xff", "not readable JSON"),
        ("chat_template.jinja", b"\xff", "not UTF-8"),
    ],
)
def test_broken_files(bert_folder: Path, name: str, content: bytes, message: str) -> None:
    (bert_folder / name).write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=message):
        AutoTokenizer.from_pretrained(bert_folder)


def test_truncated_tokenizer(bert_folder: Path) -> None:
    path = bert_folder / "tokenizer.json"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CorruptArtifactError, match=r"tokenizer.json .* Fetch or export it again"):
        AutoTokenizer.from_pretrained(bert_folder)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotFoundError, match=r"no tokenizer.json\. Export .* `headway export`"):
        AutoTokenizer.from_pretrained(tmp_path)
    (tmp_path / "spiece.model").touch()
    with pytest.raises(ArtifactNotFoundError, match=r"it has spiece\.model, which only transformers reads"):
        AutoTokenizer.from_pretrained(tmp_path)
    (tmp_path / "vocab.txt").touch()
    with pytest.raises(CorruptArtifactError, match=r"vocab\.txt is no vocabulary \(none of its 0 lines is \[UNK\]\)"):
        AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(ArtifactNotFoundError):
        AutoTokenizer.from_pretrained(tmp_path / "nowhere")


def test_subfolder(bert_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outer").mkdir()
    shutil.copytree(bert_folder, tmp_path / "outer" / "inner", ignore=shutil.ignore_patterns("outer"))
    assert AutoTokenizer.from_pretrained(tmp_path / "outer", subfolder="inner").cls_token == "[CLS]"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"colour": "red"}, "unknown option colour='red'"),
        ({"use_fast": False}, "every Headway tokenizer is a fast one"),
        ({"padding_side": "up"}, "must be 'right' or 'left'"),
        ({"truncation_side": None, "padding_side": "both"}, "padding_side='both'"),
        ({"add_prefix_space": True}, "no splitting step"),
    ],
)
def test_bad_overrides(bert_folder: Path, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        AutoTokenizer.from_pretrained(bert_folder, **overrides)


def test_casing_without_bert_normalizer(tmp_path: Path) -> None:
    tiny_tokenizers.build("GPT2Tokenizer").save_pretrained(tmp_path)
    with pytest.raises(OptionError, match="no BERT normalizer"):
        AutoTokenizer.from_pretrained(tmp_path, do_lower_case=True)


def test_options_without_effect_are_accepted(bert_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(bert_folder), use_fast=True, trust_remote_code=True, token="x")
    assert tokenizer.name_or_path == str(bert_folder)
    assert "vocab_size=" in repr(tokenizer)


def test_auto_tokenizer_is_not_made_directly() -> None:
    with pytest.raises(OptionError, match=r"AutoTokenizer\.from_pretrained"):
        AutoTokenizer()
