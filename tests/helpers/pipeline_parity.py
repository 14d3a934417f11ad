"""Compare results of a Headway pipeline with those of the pipeline it stands for."""

import numbers
from typing import Any

import numpy as np


def assert_same_result(expected: Any, actual: Any, tolerance: float = 1e-4) -> None:
    """Same nesting, keys, texts and whole numbers; floats within ``tolerance``, and Python's own."""
    if isinstance(expected, dict):
        assert type(actual) is dict
        assert actual.keys() == expected.keys()
        for key, value in expected.items():
            assert_same_result(value, actual[key], tolerance)
    elif isinstance(expected, list):
        assert type(actual) is list
        assert len(actual) == len(expected)
        for one, other in zip(expected, actual, strict=True):
            assert_same_result(one, other, tolerance)
    elif isinstance(expected, numbers.Integral):
        assert type(actual) is int
        assert actual == expected
    elif isinstance(expected, float | np.floating):
        assert type(actual) is float
        assert abs(actual - float(expected)) <= tolerance, (expected, actual)
    else:
        assert type(actual) is type(expected)
        assert actual == expected
