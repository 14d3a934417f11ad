"""Numerics against PyTorch, and at the ends of the range of numbers."""

from typing import Any

import numpy as np
import pytest
import torch

from headway.runtime import log_softmax, mean_pool, normalize, sigmoid, softmax
from headway.runtime.errors import InputError, InputTypeError

LOGITS = np.array([[1.5, -2.0, 0.25], [1e4, -1e4, 0.0], [0.0, 0.0, 0.0]], dtype=np.float32)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax(axis: int) -> None:
    expected = torch.softmax(torch.from_numpy(LOGITS), dim=axis).numpy()
    np.testing.assert_allclose(softmax(LOGITS, axis), expected, rtol=1e-6)
    expected = torch.log_softmax(torch.from_numpy(LOGITS), dim=axis).numpy()
    np.testing.assert_allclose(log_softmax(LOGITS, axis), expected, rtol=1e-6, atol=1e-6)


def test_sigmoid() -> None:
    values = np.array([-1e4, -100.0, -1.0, -0.0, 0.0, 1.0, 88.0, 1e4], dtype=np.float32)
    np.testing.assert_allclose(sigmoid(values), torch.sigmoid(torch.from_numpy(values)).numpy(), rtol=1e-6, atol=1e-40)


def test_masked_with_infinity() -> None:
    values = np.array([[1.0, -np.inf, 2.0]], dtype=np.float32)
    np.testing.assert_allclose(softmax(values), torch.softmax(torch.from_numpy(values), -1).numpy(), rtol=1e-6)
    assert log_softmax(values)[0, 1] == -np.inf


@pytest.mark.parametrize("function", [softmax, log_softmax, sigmoid, normalize])
def test_dtypes(function: Any) -> None:
    assert function(np.array([[1.0, 2.0]], dtype=np.float16)).dtype == np.float32
    assert function(np.array([[1.0, 2.0]], dtype=np.float32)).dtype == np.float32
    assert function(np.array([[1.0, 2.0]])).dtype == np.float64
    assert function([[1, 2]]).dtype == np.float64
    assert function(np.zeros((2, 0), dtype=np.float32)).shape == (2, 0)


def test_mean_pool() -> None:
    draw = np.random.default_rng(0)
    states = draw.normal(size=(3, 5, 4)).astype(np.float32)
    mask = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0]])
    pooled = mean_pool(states, mask)
    np.testing.assert_allclose(pooled[0], states[0].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(pooled[1], (states[1, 0] + states[1, 2]) / 2, rtol=1e-5)
    assert pooled[2].tolist() == [0, 0, 0, 0]
    assert pooled.dtype == np.float32


@pytest.mark.parametrize(
    ("states", "mask"), [((2, 3, 4), (2, 4)), ((2, 3, 4), (3, 2)), ((3, 4), (3,)), ((1, 1, 1), ())]
)
def test_mean_pool_of_shapes_that_do_not_belong_together(states: tuple[int, ...], mask: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"\(batch, sequence, hidden\) and \(batch, sequence\) are needed"):
        mean_pool(np.zeros(states), np.zeros(mask))


def test_normalize() -> None:
    vectors = np.array([[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0]], dtype=np.float32)
    expected = torch.nn.functional.normalize(torch.tensor([[3.0, 4.0]])).numpy()
    np.testing.assert_allclose(normalize(vectors)[:1], expected, rtol=1e-6)
    assert normalize(vectors)[1].tolist() == [0, 0]


@pytest.mark.parametrize("function", [softmax, log_softmax, sigmoid, normalize])
@pytest.mark.parametrize("values", [["a"], None, [[1.0], [1.0, 2.0]], [1j], {"a": 1}])
def test_values_that_are_no_numbers(function: Any, values: Any) -> None:
    with pytest.raises(InputTypeError, match="An array of numbers is needed"):
        function(values)
