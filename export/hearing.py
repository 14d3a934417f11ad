"""How a language model hears: from what its processor makes of audio to one vector for each token of audio."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.masking_utils import create_bidirectional_mask

from headway.runtime.errors import ExportError

TOKENS = "input_ids"
# What families call the mask that says which frames are no padding.
_MASKS = ("input_features_mask", "feature_attention_mask")
# Model types whose mask is of the vectors, not of the frames.
MASKED_VECTORS = frozenset({"granite_speech", "granite_speech_plus"})


def hears(model: PreTrainedModel) -> bool:
    """Whether a model is a language model that takes audio among its tokens."""
    return not model.config.is_encoder_decoder and "input_features" in inspect.signature(model.forward).parameters


def audio_inputs_of(model: PreTrainedModel) -> tuple[str, ...]:
    """Names of what the encoder takes, the audio first."""
    accepted = inspect.signature(model.forward).parameters
    masks = (name for name in _MASKS if name in accepted)
    return ("input_features", *masks, *((TOKENS,) if _looks_at_tokens(model) else ()))


def audio_token_of(model: PreTrainedModel) -> int:
    """The token that a vector of audio takes the place of.

    Raises:
        ExportError: the config does not say it.
    """
    token = getattr(model.config, "audio_token_id", None)
    if not isinstance(token, int):
        why = "names no audio_token_id: which tokens stand for audio?"
        raise ExportError(f"The config of {type(model).__name__} {why}")
    return token


def audio_features(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """One vector for each token of audio, row by row: (tokens of audio, hidden) float32."""
    hear = _OWN_WAYS.get(model.config.model_type, _by_its_method)
    features = hear(model.model, inputs)
    return features.reshape(-1, features.shape[-1])


def num_audio_tokens(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> int:
    """How many tokens of audio what the encoder takes stands for."""
    if _looks_at_tokens(model):
        tower: Any = model.model.audio_tower
        _, lengths = tower._get_feat_extract_output_lengths(inputs[_MASKS[0]].sum(-1))
        return int(lengths.sum())
    return len(audio_features(model, inputs))


@contextmanager
def audio_in_place(model: PreTrainedModel, input_ids: torch.Tensor, features: torch.Tensor) -> Iterator[None]:
    """Let vectors of audio stand in for their tokens' embeddings inside the block.

    Tokens of audio beyond the vectors that there are keep their embeddings, as in a text alone.

    Args:
        input_ids: (batch, sequence) int64.
        features: (tokens of audio, hidden) float32, row by row.
    """
    is_audio = input_ids == audio_token_of(model)
    order = (is_audio.flatten().long().cumsum(0) - 1).view_as(input_ids)
    is_heard = is_audio & (order < features.shape[0])
    # A row more, so that there is something to take where nothing is heard.
    rows = torch.cat([features, features.new_zeros(1, features.shape[1])])
    heard = rows[torch.where(is_heard, order, torch.zeros_like(order))]

    def replace(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        return torch.where(is_heard[..., None], heard, output)

    handle = model.get_input_embeddings().register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


def _by_its_method(model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    parameters = inspect.signature(model.get_audio_features).parameters.values()
    # Such as MOSS's padding mask, which its code does not read.
    unread = {
        parameter.name: None
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    }
    features: torch.Tensor = model.get_audio_features(**(unread | dict(inputs))).pooler_output
    return features


def _granite_speech(model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    features: torch.Tensor = model.get_audio_features(inputs["input_features"]).pooler_output
    mask = inputs.get(_MASKS[0])
    return features if mask is None else features[mask.bool()]


def _qwen2_audio(model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """What its forward does in line; see transformers' ``Qwen2AudioModel.forward``."""
    features, mask = inputs["input_features"], inputs["feature_attention_mask"]
    frames, tokens = model.audio_tower._get_feat_extract_output_lengths(mask.sum(-1))
    positions = torch.arange((features.shape[-1] - 2) // 2 + 1)
    seen = create_bidirectional_mask(
        config=model.audio_tower.config,
        inputs_embeds=features.new_zeros(features.shape[0], positions.shape[0], 1),
        attention_mask=(positions[None, :] < frames[:, None]).long(),
    )
    heard = model.multi_modal_projector(model.audio_tower(features, attention_mask=seen).last_hidden_state)
    chosen: torch.Tensor = heard[torch.arange(heard.shape[1])[None, :] < tokens[:, None]]
    return chosen


def _looks_at_tokens(model: PreTrainedModel) -> bool:
    """Whether what is heard depends on where audio stands among the tokens, as Music Flamingo's time stamps do."""
    method = getattr(model.model, "get_audio_features", None)
    return method is not None and TOKENS in inspect.signature(method).parameters


_OWN_WAYS: Mapping[str, Callable[[Any, Mapping[str, torch.Tensor]], torch.Tensor]] = {
    "granite_speech": _granite_speech,
    "granite_speech_plus": _granite_speech,
    "qwen2_audio": _qwen2_audio,
}
