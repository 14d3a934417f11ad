"""Lines to items and results to JSON."""

import json
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from headway.runtime.commands.json_lines import json_item, text_item, to_json
from headway.runtime.commands.line_reader import Line
from headway.runtime.errors import InputError, InputTypeError


def test_line_that_was_too_long() -> None:
    with pytest.raises(InputError, match=r"line 2 is longer than 64 MiB. Is this a text file"):
        text_item(Line(2, b"x", is_whole=False))


def test_text() -> None:
    assert text_item(Line(2, " ünï \t".encode())) == " ünï \t"
    assert text_item(Line(1, b"\xef\xbb\xbfmarked")) == "marked"
    with pytest.raises(InputError, match=r"line 4 is not UTF-8 .invalid start byte at byte 2"):
        text_item(Line(4, b"ab\xff"))


def test_json_values() -> None:
    assert json_item(Line(1, b'"a text"')) == "a text"
    assert json_item(Line(1, b'\xef\xbb\xbf{"text": "x"}')) == {"text": "x"}


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", InputError, "line 7 is not JSON"),
        (b"{'text': 'x'}", InputError, "line 7 is not JSON"),
        (b'{"text": "x"', InputError, "line 7 is not JSON"),
        (b"[" * 100_000, InputError, "line 7 is not JSON"),
        (b"\xff", InputError, "line 7 is not UTF-8"),
        (b"null", InputTypeError, "line 7 is null; a text or an object"),
        (b"3", InputTypeError, "line 7 is a JSON int"),
        (b"true", InputTypeError, "line 7 is a JSON bool"),
        (b'["a"]', InputTypeError, "line 7 is a JSON list"),
    ],
)
def test_lines_that_are_no_items(content: bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        json_item(Line(7, content))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.int64, np.bool_])
def test_arrays_keep_their_values(dtype: Any) -> None:
    values = np.random.default_rng(0).normal(size=(50, 3)).astype(dtype)
    assert np.array_equal(np.array(json.loads(to_json(values)), dtype=dtype), values)


def test_results() -> None:
    assert to_json(np.float32(0.1)) == "0.100000001"
    assert to_json(np.array([0.5, 2.0, -0.0], dtype=np.float32)) == "[0.5, 2.0, -0.0]"
    assert to_json({"score": np.float32(0.25), "index": np.int64(3), "ok": np.True_}) == (
        '{"score": 0.25, "index": 3, "ok": true}'
    )
    assert to_json(OrderedDict(a=[np.zeros(1)])) == '{"a": [[0.0]]}'
    assert to_json("ü\n\u2028") == '"ü\\n\u2028"'
    with pytest.raises(InputTypeError, match="type object cannot be written"):
        to_json(object())
