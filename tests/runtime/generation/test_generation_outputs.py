"""Outputs of generate(): attribute, key and index."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import transformers.generation as theirs

from headway.runtime.generation import outputs

NAMES = [name for name in dir(outputs) if name.startswith("Generate") and name != "GenerateOutput"]


@pytest.mark.parametrize("name", NAMES)
def test_fields_of_transformers_read_as_none(name):
    sequences = np.ones((1, 3))
    output = getattr(outputs, name)(sequences=sequences, scores=None)
    for field in dataclasses.fields(getattr(theirs, name)):
        assert getattr(output, field.name) is (sequences if field.name == "sequences" else None)
    assert list(output) == ["sequences"]
    assert output["sequences"] is output[0] is output.sequences
    with pytest.raises(AttributeError, match="no 'sequence'; it has sequences"):
        _ = output.sequence


def test_all_four_are_there():
    assert len(NAMES) == 4
