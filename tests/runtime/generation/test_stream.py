"""Streamed text: the pieces add up to the text of the whole, and no piece splits a character."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway.runtime.generation.stream import IncrementalDecoder, StopStringFilter, stream_text
from headway.runtime.tokenization.tokenizer import AutoTokenizer

RELAXED = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXTS = [
    "It doesn't matter. They've said 'yes' , he 's sure !",
    "Zürich → 東京 ☃ 👩‍👩‍👧‍👦 naïve\n\n  indented\tline ends.",
    "Ω≈ç√∫ and then the thestop stop the",
    " leading and trailing  ",
]


def pieces_of(tokenizer, ids, **options):
    decoder = IncrementalDecoder.for_tokenizer(tokenizer, **options)
    return [*map(decoder.decode, ids), decoder.flush()]


@RELAXED
@given(seed=st.integers(0, 2**31), length=st.integers(0, 150), skip=st.booleans())
def test_random_tokens_add_up(small_tokenizer, seed, length, skip):
    """Any tokens at all, most of them no text that anyone would write, with unfinished characters everywhere."""
    ids = np.random.default_rng(seed).integers(0, len(small_tokenizer), length).tolist()
    pieces = pieces_of(small_tokenizer, ids, skip_special_tokens=skip)
    assert "".join(pieces) == small_tokenizer.decode(ids, skip_special_tokens=skip)


@RELAXED
@given(
    text=st.one_of(
        st.text(max_size=60), st.sampled_from(TEXTS), st.lists(st.sampled_from(TEXTS), max_size=6).map(" ".join)
    )
)
def test_texts_add_up(small_tokenizer, text):
    ids = small_tokenizer.encode(text, add_special_tokens=False)
    assert "".join(pieces_of(small_tokenizer, ids)) == small_tokenizer.decode(ids)


@pytest.mark.parametrize("fixture", ["smollm2_checkpoint", "t5_title_checkpoint"])
def test_real_tokenizers(request, fixture):
    tokenizer = AutoTokenizer.from_pretrained(request.getfixturevalue(fixture))
    rng = np.random.default_rng(0)
    for length in (1, 5, 60, 400):
        ids = rng.integers(0, len(tokenizer), length).tolist()
        for skip in (True, False):
            assert "".join(pieces_of(tokenizer, ids, skip_special_tokens=skip)) == tokenizer.decode(ids, skip)
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        pieces = pieces_of(tokenizer, ids, skip_special_tokens=True)
        assert "".join(pieces) == tokenizer.decode(ids, skip_special_tokens=True)
        if "→" in text and fixture == "smollm2_checkpoint":
            assert not any("\ufffd" in piece for piece in pieces)


def test_text_comes_as_soon_as_it_is_certain(smollm2_checkpoint):
    tokenizer = AutoTokenizer.from_pretrained(smollm2_checkpoint)
    ids = tokenizer("The capital of France is Paris")["input_ids"]
    assert pieces_of(tokenizer, ids) == ["The", " capital", " of", " France", " is", " Paris", ""]


def test_a_long_text_decodes_a_few_tokens_at_a_time():
    sizes = []

    def decode(ids):
        sizes.append(len(ids))
        return "".join(f"{token} " for token in ids)

    decoder = IncrementalDecoder(decode)
    text = "".join(map(decoder.decode, range(2000))) + decoder.flush()
    assert text == "".join(f"{token} " for token in range(2000))
    assert max(sizes) < 60


def test_a_text_that_depends_on_all_tokens_is_decoded_from_all():
    def decode(ids):
        return " ".join(f"{position}:{token}" for position, token in enumerate(ids))

    decoder = IncrementalDecoder(decode)
    assert "".join(map(decoder.decode, range(300))) + decoder.flush() == decode(range(300))


def test_text_held_back_outlasts_tokens_without_text():
    words = ["Hello", " world"] + [""] * 200
    decoder = IncrementalDecoder(lambda ids: "".join(words[token] for token in ids), num_held_characters=8)
    assert "".join(map(decoder.decode, range(len(words)))) + decoder.flush() == "Hello world"


def test_a_decoder_can_be_used_again():
    decoder = IncrementalDecoder(lambda ids: " ".join(map(str, ids)))
    for _ in range(2):
        assert decoder.decode(1) + decoder.decode(2) + decoder.flush() == "1 2"


stop_lists = st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(pieces=st.lists(st.text("ab\nc", max_size=5), max_size=12), stops=stop_lists)
def test_stop_filter_passes_all_before_the_first_stop_string(pieces, stops):
    text = "".join(pieces)
    stop = StopStringFilter(stops)
    passed, ends = "", [text.find(string) for string in stops if string in text]
    for piece in pieces:
        passed += stop.push(piece)
        assert all(string not in passed for string in stops)
    passed += stop.flush()
    assert stop.is_stopped == bool(ends)
    # The earliest match to be complete ends the text, and no stop string is in what was passed.
    assert text.startswith(passed)
    assert len(passed) == len(text) if not ends else passed in {text[:end] for end in ends}


def test_stop_filter_holds_back_only_what_may_begin_a_stop_string():
    stop = StopStringFilter(["</end>", "STOP"])
    assert [stop.push(piece) for piece in ("a<", "b</e", "x ST", "OPPED")] == ["a", "<b", "</ex ", ""]
    assert stop.is_stopped
    assert stop.push("more") == ""


def test_stream_text_reads_no_token_beyond_the_stop_string():
    tokens = iter([0, 1, 2, 3, 4])
    words = ["one ", "two EN", "D three", " four", " five"]
    decoder = IncrementalDecoder(lambda ids: "".join(words[token] for token in ids))
    assert list(stream_text(tokens, decoder, ["END"])) == ["one ", "two "]
    assert list(tokens) == [3, 4]


def test_stream_text_gives_the_rest_at_the_end():
    decoder = IncrementalDecoder(lambda ids: "".join("xE"[token] for token in ids))
    assert list(stream_text([0, 1], decoder, ["END"])) == ["x", "E"]
    assert list(stream_text([], decoder)) == []
