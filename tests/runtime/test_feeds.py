"""What callers pass, turned into arrays or refused."""

from typing import Any

import numpy as np
import pytest

from headway.runtime.artifact import TensorSpec
from headway.runtime.errors import CorruptArtifactError, InputError, InputTypeError
from headway.runtime.feeds import conform, require_common_axes

IDS = TensorSpec("input_ids", "int64", ("batch_size", "sequence_length"))
NARROW = TensorSpec("input_ids", "int32", ("batch_size", "sequence_length"))
SMALL = TensorSpec("flags", "uint8", ("batch_size",))
FLAGS = TensorSpec("use_cache", "bool", (1,))
FLOATS = TensorSpec("inputs_embeds", "float32", ("batch_size", 2))


@pytest.mark.parametrize(
    "value",
    [
        [[1, 2]],
        ((1, 2),),
        np.array([[1, 2]], dtype=np.int32),
        np.array([[1, 2]], dtype=np.uint8),
        np.asfortranarray([[1, 2]]),
    ],
)
def test_integers_of_any_kind(value: Any) -> None:
    array = conform(IDS, value)
    assert array.dtype == np.int64
    assert array.tolist() == [[1, 2]]


def test_array_that_fits_is_not_copied() -> None:
    array = np.array([[1, 2]])
    assert conform(IDS, array) is array


def test_booleans_count_as_numbers_and_back() -> None:
    assert conform(IDS, [[True, False]]).tolist() == [[1, 0]]
    assert conform(FLAGS, [1]).dtype == np.bool_


def test_numbers_to_floats() -> None:
    assert conform(FLOATS, [[1, 2]]).dtype == np.float32
    assert conform(FLOATS, np.float64([[0.5, 1]])).tolist() == [[0.5, 1.0]]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"input_ids is None; an array of \(batch_size, sequence_length\) int64 is needed"),
        ([[1.0, 2.0]], "dtype float64; the model takes int64"),
        ([["a"]], "dtype <U1; the model takes int64"),
        ([[None, 1]], "dtype object"),
        ([[1j]], "dtype complex128"),
        ([[1, 2], [3]], r"ragged or no array .* Tokenize with padding=True and return_tensors='np'"),
        (np.array([["2020-01-01"]], dtype="datetime64[D]"), "dtype datetime64"),
        ({"input_ids": [[1]]}, "dtype object"),
        ("text", "dtype <U4"),
    ],
)
def test_types_that_are_refused(value: Any, message: str) -> None:
    with pytest.raises(InputTypeError, match=message):
        conform(IDS, value)
    with pytest.raises(TypeError):
        conform(IDS, value)


@pytest.mark.parametrize("value", [[1, 2], 5, [[[1]]], []])
def test_wrong_rank(value: Any) -> None:
    with pytest.raises(InputError, match=r"has shape .*; 2 axes are needed: \(batch_size, sequence_length\)"):
        conform(IDS, value)


def test_fixed_axis() -> None:
    with pytest.raises(InputError, match="inputs_embeds has 3 on axis 1; the model takes 2"):
        conform(FLOATS, [[1, 2, 3]])


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1])
def test_numbers_that_do_not_fit(value: int) -> None:
    with pytest.raises(InputError, match=f"holds {value} to {value}; the model takes int32"):
        conform(NARROW, [[value]])
    assert conform(NARROW, [[2**31 - 1]]).dtype == np.int32


def test_unsigned_numbers_do_not_turn_negative() -> None:
    with pytest.raises(InputError, match="the model takes int64"):
        conform(IDS, np.array([[2**63]], dtype=np.uint64))
    with pytest.raises(InputError, match="the model takes uint8"):
        conform(SMALL, [-1])


def test_dtype_that_numpy_lacks() -> None:
    with pytest.raises(CorruptArtifactError, match=r"is tensor\(float8e5m2\), which numpy has no arrays for"):
        conform(TensorSpec("x", "tensor(float8e5m2)", (1,)), [1.0])


def test_library_whose_tensors_do_not_become_arrays() -> None:
    class TensorOnADevice:
        def __array__(self, *arguments: Any, **options: Any) -> np.ndarray:
            raise RuntimeError("can't convert device tensor to numpy")

    with pytest.raises(InputTypeError, match="can't convert device tensor"):
        conform(IDS, TensorOnADevice())


def test_axes_of_one_name_have_one_size() -> None:
    mask = TensorSpec("attention_mask", "int64", ("batch_size", "total"))
    feeds = {"input_ids": np.ones((2, 3)), "attention_mask": np.ones((2, 7))}
    require_common_axes([IDS, mask], feeds)
    feeds["attention_mask"] = np.ones((3, 7))
    with pytest.raises(InputError, match=r"attention_mask has shape \(3, 7\) and input_ids \(2, 3\).*batch_size"):
        require_common_axes([IDS, mask], feeds)
