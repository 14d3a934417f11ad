"""BatchEncoding: dictionary, attribute and row access, alignments, arrays."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from headway.runtime import AutoTokenizer, BatchEncoding, Tokenizer
from headway.runtime.errors import InputError, OptionError
from headway.runtime.tokenization.batch_encoding import CharSpan, TokenSpan

TEXTS = ["Tokenizers don't bite", "Unbelievable  naïve café!", "a", "b c", "d", "e", "f", "g h i", "j"]
PAIRS = ["second text", "x", "y z", "", "w", "v", "u", "t", "s"]


@pytest.fixture(scope="module")
def tokenizer(minilm_checkpoint: Path) -> Tokenizer:
    return AutoTokenizer.from_pretrained(minilm_checkpoint)


@pytest.fixture(scope="module", params=["one", "batch", "pairs", "many"])
def batches(request: pytest.FixtureRequest, minilm_checkpoint: Path, tokenizer: Tokenizer) -> tuple[Any, Any]:
    """The same call in transformers and in Headway; ``many`` takes the path that leaves offsets out at first."""
    expected = transformers.AutoTokenizer.from_pretrained(minilm_checkpoint)
    arguments = {"one": (TEXTS[0],), "batch": (TEXTS[:3],), "pairs": (TEXTS[:2], PAIRS[:2]), "many": (TEXTS, PAIRS)}
    return expected(*arguments[request.param]), tokenizer(*arguments[request.param])


@pytest.mark.parametrize("method", ["token_to_sequence", "token_to_word", "token_to_chars"])
def test_token_alignments(batches: tuple[Any, Any], method: str) -> None:
    expected, actual = batches
    for row in range(len(expected.encodings)):
        for position in range(len(expected.tokens(row))):
            wanted = getattr(expected, method)(row, position)
            assert getattr(actual, method)(row, position) == wanted
            if row == 0:
                assert getattr(actual, method)(position) == wanted
        length = len(expected.tokens(row))
        assert getattr(actual, method)(row, -1) == getattr(expected, method)(row, length - 1)


@pytest.mark.parametrize("sequence", [0, 1])
@pytest.mark.parametrize("method", ["char_to_token", "char_to_word", "word_to_tokens"])
def test_text_alignments(batches: tuple[Any, Any], method: str, sequence: int) -> None:
    expected, actual = batches
    for row in range(len(expected.encodings)):
        for position in range(12):
            wanted = getattr(expected, method)(row, position, sequence)
            assert getattr(actual, method)(row, position, sequence) == wanted
    assert getattr(actual, method)(1) == getattr(expected, method)(1)


def test_words(batches: tuple[Any, Any]) -> None:
    expected, actual = batches
    for row in range(len(expected.encodings)):
        assert actual.words(row) == actual.word_ids(row) == expected.word_ids(row)
        for word in {word for word in expected.word_ids(row) if word is not None}:
            if expected.encodings[row].word_to_chars(word) is not None:
                assert actual.word_to_chars(row, word) == expected.word_to_chars(row, word)
    assert actual.is_fast
    assert actual.n_sequences == expected.n_sequences


def test_spans_have_names(tokenizer: Tokenizer) -> None:
    batch = tokenizer("Unbelievable news")
    assert batch.word_to_tokens(0) == TokenSpan(start=1, end=2)
    assert batch.token_to_chars(1) == CharSpan(start=0, end=12)
    assert batch.word_to_tokens(9) is None
    assert batch.word_to_chars(9) is None
    assert batch.token_to_chars(0) is None


def test_access(tokenizer: Tokenizer) -> None:
    batch = tokenizer(["a b", "c"], padding=True, return_tensors="np")
    assert batch["input_ids"] is batch.input_ids is batch.data["input_ids"]
    assert list(batch.keys()) == ["input_ids", "token_type_ids", "attention_mask"]
    assert [name for name, _ in batch.items()] == list(batch)
    assert len(list(batch.values())) == len(batch) == 3
    assert dict(**batch).keys() == batch.keys()
    assert "input_ids" in batch
    assert "labels" not in batch
    assert batch[0].tokens == ["[CLS]", "a", "b", "[SEP]"]
    assert [row.tokens[1] for row in batch[:2]] == ["a", "c"]
    assert batch.to("cpu") is batch
    batch["labels"] = [1, 2]
    assert batch.labels == [1, 2]
    with pytest.raises(AttributeError, match="no 'bbox'; it holds input_ids"):
        _ = batch.bbox
    with pytest.raises(KeyError):
        _ = batch["bbox"]


@pytest.mark.parametrize("texts", [TEXTS[:2], TEXTS])
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch))])
def test_copies(tokenizer: Tokenizer, texts: list[str], duplicate: Any) -> None:
    batch = tokenizer(texts, padding=True, return_tensors="np")
    again = duplicate(batch)
    assert list(again) == list(batch)
    assert np.array_equal(again.input_ids, batch.input_ids)
    assert again.tokens(1) == batch.tokens(1)
    assert again.n_sequences == 1
    assert batch.copy().tokens(1) == batch.tokens(1)


def test_alignments_follow_the_options_of_the_call(tokenizer: Tokenizer) -> None:
    """Rows that were encoded without offsets are encoded again under the same padding and truncation."""
    batch = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=5, padding_side="left")
    tokenizer(TEXTS, padding=True)
    assert [len(batch.tokens(row)) for row in range(len(TEXTS))] == [5] * len(TEXTS)
    assert batch.tokens(2) == ["[PAD]", "[PAD]", "[CLS]", "a", "[SEP]"]
    assert [row.ids for row in batch.encodings] == batch.input_ids


def test_arrays() -> None:
    batch = BatchEncoding({"input_ids": [[1, 2], [3, 4]], "length": [2, 2]}).convert_to_tensors("np")
    assert batch.input_ids.dtype == np.int64
    assert batch.input_ids.shape == (2, 2)
    assert batch.length.shape == (2,)
    assert BatchEncoding({"input_ids": [1, 2]}, tensor_type="np", prepend_batch_axis=True).input_ids.shape == (1, 2)
    empty = BatchEncoding({"input_ids": [[]]}, tensor_type="np").input_ids
    assert (empty.shape, empty.dtype) == ((1, 0), np.int64)
    kept = np.ones((1, 2), np.float32)
    assert BatchEncoding({"x": kept}).convert_to_tensors("np").x is kept
    assert BatchEncoding({"x": [1]}).convert_to_tensors(None).x == [1]


def test_rows_without_a_tokenizer() -> None:
    batch = BatchEncoding({"input_ids": [[1], [2], [3]]})
    assert batch[1:] == {"input_ids": [[2], [3]]}
    assert batch.n_sequences is None
    assert not batch.is_fast
    with pytest.raises(KeyError, match="rows by number need the tokenizer's own output"):
        _ = batch[0]
    with pytest.raises(InputError, match="came from a tokenizer call"):
        batch.tokens()


def test_bad_arguments(tokenizer: Tokenizer) -> None:
    with pytest.raises(OptionError, match='use return_tensors="np"'):
        tokenizer("a", return_tensors="pt")
    with pytest.raises(InputError, match=r"'input_ids' have lengths 3 to 4 .* padding=True"):
        tokenizer(["a", "a b"], return_tensors="np")
    with pytest.raises(InputError, match="got row 2, and this batch has 2 rows"):
        tokenizer(["a", "b"]).tokens(2)
