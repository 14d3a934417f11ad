"""What the two graphs of an encoder-decoder exchange: layers, sizes, masks and tensor names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from headway.runtime.errors import ExportError

from .seq2seq_cache import Pair, TracedCache
from .seq2seq_mask import MASK, encoder_mask


@dataclass(frozen=True)
class StateShape:
    """Keys and values of one layer: number of heads, and size per head of each."""

    heads: int
    key_dim: int
    value_dim: int


class MaskSource(Enum):
    """Where the decoder's mask of the encoder's positions comes from."""

    INPUT = "it is the encoder's own attention_mask"
    ENCODER = "the encoder gives it, as one position stands for several frames"
    NONE = "every position is seen"


@dataclass(frozen=True)
class Seq2SeqSpec:
    """Layers and sizes of an encoder-decoder.

    Args:
        encoder_axes: the encoder's inputs, the main one first → names of their axes.
        hidden_size: of the encoder's output.
        decoder_states: self-attention layer (its index in transformers' cache) → its shape.
        encoder_states: cross-attention layer → its shape.
        mask: where the decoder's mask comes from.
        gives_cross_attentions: whether the decoder graph also gives its cross-attention's weights.
    """

    encoder_axes: Mapping[str, tuple[str, ...]]
    hidden_size: int
    decoder_states: Mapping[int, StateShape]
    encoder_states: Mapping[int, StateShape]
    mask: MaskSource = MaskSource.INPUT
    gives_cross_attentions: bool = False

    @property
    def encoder_inputs(self) -> list[str]:
        """Names of the encoder graph's inputs."""
        return list(self.encoder_axes)

    @property
    def encoder_outputs(self) -> list[str]:
        """Names of the encoder graph's outputs."""
        mask = [MASK] if self.mask is MaskSource.ENCODER else []
        return ["last_hidden_state", *mask, *_names("present", self.encoder_states, "encoder")]

    @property
    def decoder_inputs(self) -> list[str]:
        """Names of the decoder graph's inputs."""
        past = _names("past_key_values", self.decoder_states, "decoder")
        cross = _names("past_key_values", self.encoder_states, "encoder")
        mask = [] if self.mask is MaskSource.NONE else [MASK]
        return ["input_ids", *mask, *past, *cross]

    @property
    def decoder_outputs(self) -> list[str]:
        """Names of the decoder graph's outputs."""
        return ["logits", *_names("present", self.decoder_states, "decoder")]

    def example_past(self, batch: int, length: int) -> list[torch.Tensor]:
        """Random keys and values in turns, (batch, heads, length, head_dim) each."""
        shapes = self.decoder_states.values()
        return [torch.randn(batch, s.heads, length, dim) for s in shapes for dim in (s.key_dim, s.value_dim)]


def describe(
    model: PreTrainedModel,
    encoder_inputs: Mapping[str, torch.Tensor],
    encoder_axes: Mapping[str, tuple[str, ...]],
    *,
    is_speech: bool,
) -> Seq2SeqSpec:
    """Find layers and sizes by running one decoder token through the model.

    Args:
        encoder_inputs: an example, the main input first.
        encoder_axes: input → names of its axes.
        is_speech: whether several frames become one position of the encoder.

    Raises:
        ExportError: the model keeps no cache of keys and values.
    """
    cache = TracedCache({}, {})
    with torch.no_grad(), encoder_mask(model) as masks:
        encoded = run_encoder(model, encoder_inputs)
        hidden = encoded.last_hidden_state
        first_token = torch.zeros(hidden.shape[0], 1, dtype=torch.long)
        run_decoder(model, first_token, encoded, encoder_inputs.get("attention_mask"), cache)
    if not cache.decoder_present or not cache.encoder_present:
        raise ExportError(f"{type(model).__name__} keeps no keys and values in its cache, so it cannot be exported.")
    return Seq2SeqSpec(
        encoder_axes,
        int(hidden.shape[-1]),
        _shapes(cache.decoder_present),
        _shapes(cache.encoder_present),
        _mask_source(masks) if is_speech else MaskSource.INPUT,
        # Whisper tells the time of a word by what its tokens attend to.
        gives_cross_attentions=model.config.model_type == "whisper",
    )


def _mask_source(masks: list[torch.Tensor | None]) -> MaskSource:
    return MaskSource.NONE if not masks or masks[-1] is None else MaskSource.ENCODER


def encoder_of(model: PreTrainedModel) -> torch.nn.Module:
    """The encoder that :func:`run_encoder` runs; Seamless has several."""
    return getattr(model, "speech_encoder", None) or model.get_encoder()


def run_encoder(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> Any:
    """The encoder's output; its ``last_hidden_state`` is (batch, sequence, hidden)."""
    return encoder_of(model)(**inputs, return_dict=True)


def run_decoder(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    encoded: Any,
    encoder_attention_mask: torch.Tensor | None,
    cache: TracedCache,
) -> torch.Tensor:
    """Logits (batch, sequence, vocab) of the decoder; ``cache`` then holds what it kept.

    Args:
        encoded: what :func:`run_encoder` gave, or an :class:`EncoderOutput`.
    """
    output = model(
        encoder_outputs=encoded,
        attention_mask=encoder_attention_mask,
        decoder_input_ids=input_ids,
        past_key_values=cache,
        use_cache=True,
    )
    return output.logits


class EncoderOutput(BaseModelOutput):
    """An encoder's output as decoders read it; what only some encoders return reads as None."""

    attention_mask: Any = None
    router_logits: Any = None
    router_probs: Any = None


def _shapes(states: Mapping[int, Pair]) -> dict[int, StateShape]:
    return {
        layer: StateShape(key.shape[1], key.shape[3], value.shape[3]) for layer, (key, value) in sorted(states.items())
    }


def _names(prefix: str, layers: Iterable[int], side: str) -> list[str]:
    return [f"{prefix}.{layer}.{side}.{kind}" for layer in layers for kind in ("key", "value")]
