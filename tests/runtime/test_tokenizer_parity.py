"""Headway's tokenizer against transformers' on the three kinds of vocabulary, over drawn texts and options."""

from types import SimpleNamespace
from typing import Any

import pytest
import transformers
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tokenizer_parity import assert_same_batch, assert_same_settings, assert_same_value

from headway.runtime import AutoTokenizer

SCRIPTS = [
    "The quick brown fox can't jump; it's over 9,000 dogs.",
    "naïve café Ångström ﬁﬂ Ａｂｃ １２３ ½ ²",
    "éèüñ decomposed",
    "العربية السلام عليكم‏ עברית שלום",
    "日本語のテキスト、한국어 텍스트。中文文本！",
    "हिन्दी ไทย ქართული ΑΒΓ абв",
    "😀👩‍👩‍👧‍👦🏳️‍🌈🇫🇷👍🏽",
    "\x00\x07\x1b\u200b\u200e\ufeff\ufffd\u2028\x85",
    "tab\tnewline\r\nspaces   end ",
    "<s></s><pad><unk>[CLS][SEP][MASK]<|im_start|>user<|im_end|><extra_id_0>",
    "https://example.org/a?b=c#d `code()` {json: [1, 2]} ''quotes''",
    "\U0010ffff\U000e0001\ud7ff",
]
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PIECES = st.one_of(ANY_TEXT, st.sampled_from(SCRIPTS), st.sampled_from(" \n\t▁Ġ#'a"))
TEXTS = st.lists(PIECES, max_size=4).map("".join)
LONG_TEXTS = st.tuples(TEXTS, st.integers(2, 60)).map(lambda drawn: f"{drawn[0]} " * drawn[1])
WORDS = st.lists(st.one_of(TEXTS, st.just("word")), min_size=1, max_size=5)
ONE_TEXT = st.one_of(TEXTS, LONG_TEXTS)
BATCH = st.lists(ONE_TEXT, min_size=1, max_size=10)

INPUTS = st.one_of(
    st.tuples(ONE_TEXT, st.none(), st.just(False)),
    st.tuples(TEXTS, TEXTS, st.just(False)),
    st.tuples(BATCH, st.none(), st.just(False)),
    st.lists(st.tuples(TEXTS, ONE_TEXT), min_size=1, max_size=9).map(
        lambda pairs: ([first for first, _ in pairs], [second for _, second in pairs], False)
    ),
    st.tuples(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3), st.none(), st.just(False)),
    st.tuples(WORDS, st.none(), st.just(True)),
    st.tuples(WORDS, WORDS, st.just(True)),
    st.tuples(st.lists(WORDS, min_size=1, max_size=9), st.none(), st.just(True)),
)
FLAGS = st.booleans()
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "add_special_tokens": FLAGS,
        "padding": st.sampled_from([True, False, "longest", "max_length", "do_not_pad"]),
        "truncation": st.sampled_from([True, False, "longest_first", "only_first", "only_second", "do_not_truncate"]),
        "max_length": st.integers(12, 40),
        "stride": st.integers(0, 3),
        "pad_to_multiple_of": st.sampled_from([1, 8]),
        "padding_side": st.sampled_from(["left", "right"]),
        "return_tensors": st.sampled_from([None, "np"]),
        "return_token_type_ids": FLAGS,
        "return_attention_mask": FLAGS,
        "return_overflowing_tokens": FLAGS,
        "return_special_tokens_mask": FLAGS,
        "return_offsets_mapping": FLAGS,
        "return_length": FLAGS,
        "split_special_tokens": FLAGS,
    },
)
CHECKPOINTS = ("minilm_checkpoint", "smollm2_checkpoint", "t5_title_checkpoint")


@pytest.fixture(scope="module", params=CHECKPOINTS)
def tokenizers(request: pytest.FixtureRequest) -> SimpleNamespace:
    folder = request.getfixturevalue(request.param)
    return SimpleNamespace(
        expected=transformers.AutoTokenizer.from_pretrained(folder), actual=AutoTokenizer.from_pretrained(folder)
    )


def outcome(tokenizer: Any, *args: Any, **options: Any) -> Any:
    """What the call returns, or the exception it raises (a panic of the Rust code included)."""
    try:
        return tokenizer(*args, **options)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return error


def test_settings(tokenizers: SimpleNamespace) -> None:
    assert_same_settings(tokenizers.expected, tokenizers.actual)


@pytest.mark.filterwarnings("ignore:`max_length` is ignored")
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(inputs=INPUTS, options=OPTIONS, truncation_side=st.sampled_from(["right", "left"]))
def test_call(tokenizers: SimpleNamespace, inputs: Any, options: dict[str, Any], truncation_side: str) -> None:
    text, text_pair, is_split_into_words = inputs
    options["is_split_into_words"] = is_split_into_words
    # Truncating a pair leaves each text fewer tokens than max_length; a stride over that panics in the Rust code.
    assume(not options.get("stride") or not _has_pairs(text, text_pair, is_split_into_words))
    tokenizers.expected.truncation_side = tokenizers.actual.truncation_side = truncation_side
    expected = outcome(tokenizers.expected, text, text_pair, **options)
    if isinstance(expected, BaseException):
        with pytest.raises((ValueError, TypeError)):
            tokenizers.actual(text, text_pair, **options)
        return
    if options.get("return_tensors") and expected["input_ids"].dtype == object:
        with pytest.raises(ValueError, match="pass padding=True"):
            tokenizers.actual(text, text_pair, **options)
        return
    assert_same_batch(expected, tokenizers.actual(text, text_pair, **options))


def _has_pairs(text: Any, text_pair: Any, is_split_into_words: bool) -> bool:
    return text_pair is not None or (isinstance(text[:1], list) and isinstance(text[0], tuple))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=ONE_TEXT, skip=FLAGS, clean=st.sampled_from([None, False, True]))
def test_decode_of_text(tokenizers: SimpleNamespace, text: str, skip: bool, clean: bool | None) -> None:
    ids = tokenizers.expected(text)["input_ids"]
    options = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean}
    expected = tokenizers.expected.decode(ids, **options)
    assert tokenizers.actual.decode(ids, **options) == expected
    assert tokenizers.actual.batch_decode([ids, ids], **options) == [expected, expected]
    tokens = tokenizers.expected.convert_ids_to_tokens(ids, skip_special_tokens=skip)
    assert tokenizers.actual.convert_ids_to_tokens(ids, skip_special_tokens=skip) == tokens
    expected_ids = tokenizers.expected.convert_tokens_to_ids(tokens)
    assert tokenizers.actual.convert_tokens_to_ids(tokens) == expected_ids
    assert tokenizers.actual.convert_tokens_to_string(tokens) == tokenizers.expected.convert_tokens_to_string(tokens)
    assert tokenizers.actual.tokenize(text) == tokenizers.expected.tokenize(text)
    assert_same_value(tokenizers.expected.encode(text), tokenizers.actual.encode(text))


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_decode_of_any_ids(tokenizers: SimpleNamespace, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, len(tokenizers.expected) + 10), max_size=12))
    assert tokenizers.actual.decode(ids) == tokenizers.expected.decode(ids)
    assert tokenizers.actual.batch_decode(ids) == tokenizers.expected.batch_decode(ids)


@pytest.mark.filterwarnings("ignore:`max_length` is ignored")
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    texts=BATCH,
    form=st.sampled_from(["columns", "rows", "one"]),
    options=st.fixed_dictionaries(
        {},
        optional={
            "padding": st.sampled_from([True, False, "longest", "max_length"]),
            "max_length": st.integers(1, 600),
            "pad_to_multiple_of": st.sampled_from([1, 8]),
            "padding_side": st.sampled_from(["left", "right"]),
            "return_attention_mask": FLAGS,
        },
    ),
)
def test_pad(tokenizers: SimpleNamespace, texts: list[str], form: str, options: dict[str, Any]) -> None:
    def rows() -> Any:
        columns = dict(tokenizers.expected(texts, return_special_tokens_mask=True, truncation=True, max_length=500))
        split = [{name: column[index] for name, column in columns.items()} for index in range(len(texts))]
        return {"columns": columns, "rows": split, "one": split[0]}[form]

    expected = tokenizers.expected.pad(rows(), **options)
    actual = tokenizers.actual.pad(rows(), **options)
    assert list(actual) == list(expected)
    for name in expected:
        assert_same_value(expected[name], actual[name])


def test_golden_ids_of_minilm(minilm_checkpoint: Any) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm_checkpoint)
    sentences = ["I've been waiting for a HuggingFace course my whole life.", "I hate this so much!"]
    batch = tokenizer(sentences, padding=True, truncation=True, return_tensors="np")
    waiting = [101, 1045, 1005, 2310, 2042, 3403, 2005, 1037, 17662, 12172, 2607, 2026, 2878, 2166, 1012, 102]
    hating = [101, 1045, 5223, 2023, 2061, 2172, 999, 102]
    assert batch["input_ids"].tolist() == [waiting, hating + [0] * 8]
    assert batch["attention_mask"].tolist() == [[1] * 16, [1] * 8 + [0] * 8]
    assert batch["input_ids"].shape == (2, 16)
