"""Tokenizer calls that go wrong, that warn, and that several threads make at once."""

import logging
import random
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from tokenizer_parity import assert_same_batch, assert_same_value

from headway.runtime import AutoTokenizer, Tokenizer
from headway.runtime.errors import InputError, InputTooLongError, InputTypeError, OptionError
from headway.runtime.tokenization.backend import Backend


@pytest.fixture(scope="module")
def tokenizer(minilm_checkpoint: Path) -> Tokenizer:
    return AutoTokenizer.from_pretrained(minilm_checkpoint)


@pytest.fixture(scope="module")
def expected(minilm_checkpoint: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(minilm_checkpoint)


WORDS = {"is_split_into_words": True}


@pytest.mark.parametrize(
    ("text", "text_pair", "options", "error", "message"),
    [
        (None, None, {}, InputTypeError, "got text=None"),
        (5, None, {}, InputTypeError, r"got 5 \(int\) as text"),
        (b"bytes", None, {}, InputTypeError, r"got b'bytes' \(bytes\)"),
        ({"a": 1}, None, {}, InputTypeError, r"\(dict\)"),
        (np.array(["a"]), None, {}, InputTypeError, r"\(ndarray\)"),
        pytest.param(iter(["a", "b"]), None, {}, InputTypeError, r"\(list_iterator\)", id="iterator"),
        ([], None, {}, InputError, "empty list of texts"),
        ((), [], {}, InputError, "empty list of texts"),
        (["a", None], None, {}, InputTypeError, r"text 1 is None \(NoneType\)"),
        (["a", 3.5], None, {}, InputTypeError, r"text 1 is 3\.5 \(float\)"),
        ([["a", "b", "c"]], None, {}, InputTypeError, "a list of 3: a pair has two texts"),
        ([[["a"]]], None, {}, InputTypeError, "a pair has two texts"),
        ([("a", None)], None, {}, InputTypeError, "part 1 of the text is None"),
        ("a\ud83d", None, {}, InputError, r"lone surrogate U\+D83D at character 1"),
        (["ok", "\udc00"], None, {}, InputError, r"text 1 has the lone surrogate U\+DC00 at character 0"),
        ("a", "b\udfff", {}, InputError, r"part 1 of the text has the lone surrogate U\+DFFF"),
        ([["a", "\ud800"]], None, WORDS, InputError, r"word 1 of the text has the lone surrogate"),
        ("a", 3, {}, InputTypeError, r"part 1 of the text is 3 \(int\)"),
        ("a", ["b"], {}, InputTypeError, r"part 1 of the text is \['b'\] \(list\)"),
        (["a"], "b", {}, InputTypeError, r"got 1 texts and 'b' \(str\) as text_pair"),
        (["a"], ["b", "c"], {}, InputError, "1 texts and 2 second texts"),
        ("words", None, WORDS, InputTypeError, "pass its words as a list"),
        ([["a"], "b"], None, WORDS, InputTypeError, r"text 1 is 'b' \(str\): with is_split_into_words"),
        ([["a", 1]], None, WORDS, InputTypeError, "word 1 of the text is 1"),
        ("a b c", None, {"truncation": "only_second", "max_length": 3}, OptionError, "without text_pair"),
        ("a b c", "d", {"truncation": "only_second", "max_length": 4}, InputTooLongError, "longest_first"),
        ("a", None, {"truncation": True, "max_length": 1}, OptionError, "special tokens alone are 2"),
        (["a"], ["b"], {"truncation": True, "max_length": 2}, OptionError, "special tokens alone are 3"),
        ([("a", "b")], None, {"truncation": True, "max_length": 2}, OptionError, "special tokens alone are 3"),
        ("a", None, {"max_length": -1}, OptionError, "max_length=-1: it must be 0 or more"),
        ("a", None, {"max_length": 2.5}, OptionError, "it must be an int"),
        ("a", None, {"max_length": "9"}, OptionError, "it must be an int"),
        ("a", None, {"max_length": 9, "stride": -1}, OptionError, "stride=-1"),
        ("a b c d", None, {"max_length": 4, "stride": 2}, OptionError, "stride must be below the 2 tokens"),
        ("a b c d", None, {"max_length": 4, "stride": 9}, OptionError, "stride must be below the 2 tokens"),
        ("a", None, {"padding": "longer"}, OptionError, "padding='longer': it must be True, False, 'longest'"),
        ("a", None, {"padding": None}, OptionError, "padding=None"),
        ("a", None, {"padding": 1}, OptionError, "padding=1"),
        ("a", None, {"truncation": "all"}, OptionError, "truncation='all'"),
        ("a", None, {"padding": True, "padding_side": "up"}, OptionError, "padding_side='up'"),
        ("a", None, {"padding": True, "pad_to_multiple_of": "8"}, OptionError, "pad_to_multiple_of='8'"),
        (
            "a",
            None,
            {"padding": True, "truncation": True, "max_length": 9, "pad_to_multiple_of": 8},
            OptionError,
            "must be a multiple",
        ),
        ("a", None, {"return_tensors": "tf"}, OptionError, "numpy arrays only"),
        ("a", None, {"colour": "red"}, OptionError, "unknown option colour: a call takes text, "),
        (["a", "b c"], None, {"return_tensors": "np"}, InputError, "pass padding=True"),
    ],
    ids=str,
)
def test_bad_input(
    tokenizer: Tokenizer, text: Any, text_pair: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        tokenizer(text, text_pair, **options)
    assert tokenizer("fine")["input_ids"] == [101, 2986, 102]


def test_padding_without_a_padding_token(minilm_checkpoint: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm_checkpoint)
    tokenizer.pad_token = None
    with pytest.raises(OptionError, match=r"tokenizer\.pad_token ="):
        tokenizer(["a", "b c"], padding=True)
    with pytest.raises(OptionError, match=r"tokenizer\.pad_token ="):
        tokenizer.pad({"input_ids": [[1], [1, 2]]})
    assert tokenizer.pad({"input_ids": [[1]]}, padding=False)["attention_mask"] == [[1]]
    tokenizer.pad_token = tokenizer.sep_token
    assert tokenizer(["a", "b c"], padding=True)["input_ids"][0][-1] == tokenizer.sep_token_id


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"attention_mask": [[1]]}, InputError, "no 'input_ids' among attention_mask"),
        ({"input_ids": [[1], [2, 3]], "token_type_ids": [[0]]}, InputError, "token_type_ids has 1 rows"),
        ([{"input_ids": [1], "x": [1]}, {"input_ids": [1]}], InputError, "do not all hold 'x'"),
        ("text", InputTypeError, "got a str"),
        ([[1, 2]], InputTypeError, "got a list"),
    ],
)
def test_bad_padding(tokenizer: Tokenizer, columns: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tokenizer.pad(columns)


def test_pad_arrays(tokenizer: Tokenizer, expected: Any) -> None:
    rows = [np.array([5, 6, 7]), np.array([8])]
    wanted = expected.pad({"input_ids": list(rows)})
    actual = tokenizer.pad({"input_ids": list(rows)})
    assert list(actual) == list(wanted)
    for name in wanted:
        assert_same_value(wanted[name], actual[name])
    assert tokenizer.pad({"input_ids": np.array([[1, 2]])}, padding="max_length", max_length=4).input_ids.shape == (
        1,
        4,
    )
    for nothing in ({"input_ids": []}, {"input_ids": [], "x": []}):
        assert dict(tokenizer.pad(dict(nothing), return_attention_mask=True)) == {**nothing, "attention_mask": []}


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([101, -100], InputError, "got the id -100.* Labels of -100 mean 'ignored'"),
        ([2**40], InputError, "got the id"),
        ("text", InputTypeError, "takes an id"),
        ([1.5], InputTypeError, "takes an id"),
        (None, InputTypeError, "takes an id"),
    ],
)
def test_bad_ids(tokenizer: Tokenizer, ids: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tokenizer.decode(ids)


@pytest.mark.parametrize(
    "ids",
    [
        7592,
        [7592, 2088],
        (7592, 2088),
        [],
        [[7592], [2088, 999]],
        [[7592], []],
        np.array([7592, 2088]),
        np.array([[7592, 2088]]),
        np.int64(7592),
        [np.int64(7592), np.int64(2088)],
        [np.array([7592]), np.array([2088])],
        {"input_ids": [7592]},
    ],
    ids=repr,
)
def test_decode(tokenizer: Tokenizer, expected: Any, ids: Any) -> None:
    assert tokenizer.decode(ids) == expected.decode(ids)
    if not isinstance(ids, dict):
        assert tokenizer.batch_decode(ids) == expected.batch_decode(ids)


def test_bad_conversions(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputTypeError, match="takes a token"):
        tokenizer.convert_tokens_to_ids([3])
    with pytest.raises(InputTypeError, match="takes an id"):
        tokenizer.convert_ids_to_tokens("text")
    with pytest.raises(InputError, match="not negative"):
        tokenizer.convert_ids_to_tokens([-1])
    assert tokenizer.convert_ids_to_tokens(10**6) is None
    assert tokenizer.convert_tokens_to_ids("no such token") == tokenizer.unk_token_id


@pytest.mark.parametrize(
    ("text", "text_pair", "options"),
    [
        ("", None, {}),
        ([""], [""], {"padding": "max_length", "max_length": 5}),
        ("a", "", {}),
        ([], None, WORDS),
        ([[]], None, WORDS),
        (["a", "b"], ["c"], WORDS),
        (("a", "b"), None, {"padding": True, "pad_to_multiple_of": 8, "return_length": True}),
        ([["a", "b"]], None, {"return_offsets_mapping": True}),
        ([(["a", "b"], ["c"])], None, {**WORDS, "truncation": True, "max_length": 5}),
        ("a b c d e f", None, {"max_length": 4, "stride": 1, "return_overflowing_tokens": True}),
        ("a b c d e f", None, {"max_length": 0, "add_special_tokens": False}),
    ],
)
def test_edges(tokenizer: Tokenizer, expected: Any, text: Any, text_pair: Any, options: dict[str, Any]) -> None:
    assert_same_batch(expected(text, text_pair, **options), tokenizer(text, text_pair, **options))


def test_targets(tokenizer: Tokenizer, expected: Any) -> None:
    calls: list[dict[str, Any]] = [
        {"text_target": "abc"},
        {"text": "x y", "text_target": "abc"},
        {"text": ["x"], "text_target": ["a b c d"], "max_length": 5, "truncation": True, "max_target_length": 3},
        {"text": "x", "tokenizer_kwargs": {"padding": "max_length", "max_length": 6}},
    ]
    for call in calls:
        assert_same_batch(expected(**call), tokenizer(**call))


def test_a_stride_that_panics_in_rust_is_an_option_error(tokenizer: Tokenizer) -> None:
    with pytest.raises(OptionError, match=r"stride .* Lower stride or raise max_length"):
        tokenizer("a b c d e f g", "a b c d e f g", truncation=True, max_length=9, stride=4)


def test_texts_over_the_limit_warn_once(minilm_checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm_checkpoint)
    long = "word " * 600
    with caplog.at_level(logging.WARNING, "headway"):
        for options in ({"verbose": False}, {"truncation": True}, {"max_length": 700, "truncation": True}):
            tokenizer(long, **options)
        assert not caplog.records
        tokenizer(["short", long], padding=True, return_tensors="np")
        tokenizer(long)
    assert len(caplog.records) == 1
    assert "(602 > 512): pass truncation=True" in caplog.text


def test_clean_up_of_byte_pairs_warns_once(smollm2_checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = AutoTokenizer.from_pretrained(smollm2_checkpoint)
    ids = tokenizer("Hello , world !")["input_ids"]
    with caplog.at_level(logging.WARNING, "headway"):
        texts = [tokenizer.decode(ids, clean_up_tokenization_spaces=True) for _ in range(2)]
    assert texts == ["Hello , world !"] * 2
    assert len(caplog.records) == 1
    assert tokenizer.clean_up_tokenization("Hello , world !") == "Hello, world!"


def test_a_limit_without_effect_warns(tokenizer: Tokenizer) -> None:
    with pytest.warns(UserWarning, match="`max_length` is ignored"):
        tokenizer("a", padding=True, max_length=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer("a", padding=True, max_length=5, verbose=False)


def test_threads_with_different_options(tokenizer: Tokenizer, expected: Any) -> None:
    """Padding, truncation and special-token splitting are state inside the Rust tokenizer: no call sees another's."""
    texts = [f"[CLS] word{' more' * count}, naïve text" for count in range(12)]
    calls: list[dict[str, Any]] = [
        {},
        {"padding": True},
        {"padding": "max_length", "max_length": 20, "truncation": True},
        {"truncation": True, "max_length": 6, "return_overflowing_tokens": True},
        {"padding": True, "padding_side": "left"},
        {"split_special_tokens": True},
    ]
    wanted = [(dict(expected(texts, **call)), dict(expected(texts[3], **call))) for call in calls]
    failures: list[Any] = []

    def work(seed: int) -> None:
        choose = random.Random(seed)
        try:
            for _ in range(150):
                index = choose.randrange(len(calls))
                assert dict(tokenizer(texts, **calls[index])) == wanted[index][0]
                assert dict(tokenizer(texts[3], **calls[index])) == wanted[index][1]
                assert tokenizer.decode([7592]) == "hello"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert not failures


def test_tokens_can_be_added_while_others_encode(minilm_checkpoint: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm_checkpoint)
    wanted = tokenizer("some text here")["input_ids"]
    failures: list[Any] = []
    done = threading.Event()

    def encode() -> None:
        try:
            while not done.is_set():
                assert tokenizer("some text here")["input_ids"] == wanted
                tokenizer(["some text here"] * 20, padding=True)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=encode) for _ in range(3)]
    for thread in threads:
        thread.start()
    for index in range(50):
        assert tokenizer.add_tokens(f"<added{index}>") == 1
    done.set()
    for thread in threads:
        thread.join(timeout=60)
    assert not failures
    assert tokenizer("<added49>")["input_ids"] == [101, 30571, 102]


def test_state_is_set_only_when_it_changes(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    entered = []
    enter = Backend._enter
    monkeypatch.setattr(Backend, "_enter", lambda self, state: (entered.append(state), enter(self, state)))
    for _ in range(3):
        tokenizer("a", padding=True, truncation=True, return_tensors="np")
    for _ in range(3):
        tokenizer(["b", "c d"], padding="longest", truncation="longest_first")
    assert len(entered) <= 1
    tokenizer("a")
    tokenizer("b")
    assert 1 <= len(entered) <= 2


def test_settings_changed_on_the_rust_tokenizer_are_overruled(tokenizer: Tokenizer) -> None:
    tokenizer("a")
    tokenizer.backend_tokenizer.enable_padding(length=9)
    assert tokenizer("a")["input_ids"] == [101, 1037, 102]


def test_imports(minilm_checkpoint: Path) -> None:
    """Tokenizers need neither PyTorch nor transformers, nor the packages that only other parts need."""
    code = f"""
import sys
from headway.runtime import AutoTokenizer
assert "tokenizers" not in sys.modules
tokenizer = AutoTokenizer.from_pretrained({str(minilm_checkpoint)!r})
tokenizer.decode(tokenizer(["a", "b"], padding=True, return_tensors="np")["input_ids"])
assert "jinja2" not in sys.modules
tokenizer.apply_chat_template([{{"role": "user", "content": "a"}}], chat_template="{{{{ messages }}}}")
assert not {{"torch", "transformers", "onnxruntime", "onnx"}} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
