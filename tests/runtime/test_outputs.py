"""Outputs behave as transformers' ModelOutput does."""

import numpy as np
import pytest
from transformers.modeling_outputs import SequenceClassifierOutput

from headway.runtime import ModelOutput


@pytest.fixture
def output() -> ModelOutput:
    return ModelOutput(start_logits=np.zeros((1, 2)), end_logits=np.ones((1, 2)))


def test_access(output: ModelOutput) -> None:
    assert output.end_logits is output["end_logits"] is output[1] is output[-1] is output.to_tuple()[1]
    assert len(output[0:2]) == 2
    with pytest.raises(IndexError):
        _ = output[2]
    with pytest.raises(KeyError):
        _ = output["logits"]


def test_fields_that_are_not_there(output: ModelOutput) -> None:
    for name in ("loss", "hidden_states", "attentions"):
        assert getattr(output, name) is getattr(SequenceClassifierOutput(), name) is None
    assert not hasattr(output, "no_such_field")


def test_as_a_mapping(output: ModelOutput) -> None:
    assert list(output) == list(output.keys()) == ["start_logits", "end_logits"]
    assert dict(output)["end_logits"] is output.end_logits
    first, second = output.values()
    assert (first is output[0], second is output[1]) == (True, True)
