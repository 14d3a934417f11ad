"""Compare a Headway tokenizer with the transformers tokenizer it stands for."""

from typing import Any

import numpy as np

SETTINGS = (
    "all_special_ids",
    "all_special_tokens",
    "bos_token_id",
    "chat_template",
    "clean_up_tokenization_spaces",
    "cls_token_id",
    "eos_token_id",
    "extra_special_tokens",
    "extra_special_tokens_ids",
    "mask_token_id",
    "model_input_names",
    "model_max_length",
    "pad_token_id",
    "pad_token_type_id",
    "padding_side",
    "sep_token_id",
    "special_tokens_map",
    "split_special_tokens",
    "truncation_side",
    "unk_token_id",
    "vocab_size",
)


def assert_same_settings(expected: Any, actual: Any) -> None:
    """Special tokens, vocabulary and limits agree."""
    for name in SETTINGS:
        assert getattr(actual, name) == getattr(expected, name), name
    assert len(actual) == len(expected)
    assert actual.get_vocab() == expected.get_vocab()
    assert actual.get_added_vocab() == expected.get_added_vocab()
    for pair in (False, True):
        assert actual.num_special_tokens_to_add(pair) == expected.num_special_tokens_to_add(pair)


def assert_same_batch(expected: Any, actual: Any) -> None:
    """Same names in the same order, same values of the same types, same alignments."""
    assert list(actual) == list(expected)
    for name in expected:
        assert_same_value(expected[name], actual[name])
    assert actual.n_sequences == expected.n_sequences
    assert len(actual.encodings) == len(expected.encodings)
    for row, encoding in enumerate(expected.encodings):
        assert actual.tokens(row) == expected.tokens(row)
        assert actual.word_ids(row) == expected.word_ids(row)
        assert actual.sequence_ids(row) == expected.sequence_ids(row)
        assert actual.encodings[row].offsets == encoding.offsets


def assert_same_value(expected: Any, actual: Any) -> None:
    """Equal, and made of the same types at every depth."""
    assert type(actual) is type(expected)
    if isinstance(expected, np.ndarray):
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
        actual, expected = actual.tolist(), expected.tolist()
    assert actual == expected
    while isinstance(expected, list) and expected:
        assert type(actual[0]) is type(expected[0])
        actual, expected = actual[0], expected[0]
