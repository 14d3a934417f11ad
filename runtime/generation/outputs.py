"""What generate() returns with return_dict_in_generate=True."""

from __future__ import annotations

from typing import Any

from ..outputs import ModelOutput


class GenerateOutput(ModelOutput):
    """Sequences and what was asked for with them, under transformers' names.

    ``sequences`` (rows, length) int64; ``scores`` and ``logits`` tuples of (rows, vocab) float32, one per new token;
    ``sequences_scores`` (rows,) float32 and ``beam_indices`` (rows, new tokens) int64 of a beam search;
    ``past_key_values``. What was not asked for reads as None by attribute and is absent by key, as in transformers.
    """

    def __init__(self, **fields: Any) -> None:
        super().__init__((name, value) for name, value in fields.items() if value is not None)

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        if name in _FIELDS:
            return None
        raise AttributeError(f"This output has no {name!r}; it has {', '.join(self)}.")


class GenerateDecoderOnlyOutput(GenerateOutput):
    """Greedy search or sampling with a decoder."""


class GenerateEncoderDecoderOutput(GenerateOutput):
    """Greedy search or sampling with an encoder-decoder."""


class GenerateBeamDecoderOnlyOutput(GenerateOutput):
    """Beam search or beam sampling with a decoder."""


class GenerateBeamEncoderDecoderOutput(GenerateOutput):
    """Beam search or beam sampling with an encoder-decoder."""


_FIELDS = frozenset(
    {
        "sequences",
        "sequences_scores",
        "scores",
        "logits",
        "beam_indices",
        "attentions",
        "hidden_states",
        "encoder_attentions",
        "encoder_hidden_states",
        "decoder_attentions",
        "decoder_hidden_states",
        "cross_attentions",
        "past_key_values",
    }
)
