"""Runs of a model that show which inputs it takes: its own code judges them, in its own ways."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from transformers import PreTrainedModel


def outputs_of(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors that a model gives for inputs; whatever it raises comes through."""
    with torch.no_grad():
        result = model(**inputs, return_dict=True)
    return {name: value for name, value in result.items() if isinstance(value, torch.Tensor)}


def failure_of(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> Exception | None:
    """Why a model does not take inputs; None where it does."""
    try:
        outputs_of(model, inputs)
    except Exception as error:
        return error
    return None
