"""A speech language model's artifact and PyTorch on the same audio and prompts: logits, and greedy tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from headway.export.hearing import TOKENS
from headway.export.hearing_inputs import Heard, HearingInputs, padded
from headway.export.verify import relative_error

Array = NDArray[Any]
# Audio of a ragged batch and of one row, in steps.
_SHAPES = ([3, 1, 2], [4])


class HearingComparison:
    """Logits of prompts with audio in them, and greedy tokens as PyTorch's ``generate`` gives them.

    Args:
        model: a language model that hears.
        num_tokens: how many greedy tokens are compared.
    """

    def __init__(self, model: PreTrainedModel, num_tokens: int) -> None:
        self.model = model
        self.num_tokens = num_tokens
        self.inputs = HearingInputs(model)

    def largest_error(self, loaded: Any) -> float:
        """Largest relative error of the logits of all shapes; infinite where a greedy token is another one."""
        errors = []
        for seed, steps in enumerate(_SHAPES):
            heard = self.inputs.build(steps, seed=100 + seed)
            inputs, audio = padded(heard.prompts), _audio(heard)
            actual = loaded(**{name: tensor.numpy() for name, tensor in {**inputs, **audio}.items()}).logits
            with torch.no_grad():
                expected = self.model(**inputs, **audio, use_cache=False).logits.float().numpy()
            kept = inputs["attention_mask"].bool().numpy()
            errors.append(relative_error(expected[kept], actual[kept]))
        # The last is one row: PyTorch's generate wants padding on the left, and audio in the order of the rows.
        options = {"max_new_tokens": self.num_tokens, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
        with torch.no_grad():
            expected_tokens = self.model.generate(**inputs, **audio, **options).numpy()
        tokens = loaded.generate(**{name: tensor.numpy() for name, tensor in {**inputs, **audio}.items()}, **options)
        return max(errors) if np.array_equal(tokens, expected_tokens) else float("inf")


def _audio(heard: Heard) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in heard.audio.items() if name != TOKENS}
