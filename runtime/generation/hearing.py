"""Speech language models, such as Qwen2-Audio, Voxtral and Granite Speech: prompts with audio in them."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..artifact import Artifact
from ..errors import InputError
from ..feeds import conform, require_common_axes
from ..outputs import ModelOutput
from ..session import Session
from .call_checks import one_input, token_block, token_mask
from .causal_lm import AutoModelForCausalLM
from .hearing_decoder import HearingDecoder
from .history import TokenIds
from .outputs import GenerateOutput
from .prefix_cache import PrefixCache

_TOKENS = "input_ids"


class HearingLanguageModel(AutoModelForCausalLM):
    """A language model that takes audio among its tokens.

    It is called like a causal language model, with the audio's arrays by name, as the checkpoint's processor makes
    them: ``model.generate(input_ids, attention_mask=…, input_features=…, input_features_mask=…)``. The prompt holds the
    config's ``audio_token_id`` once for each vector that the audio becomes. Without audio it reads text alone.
    """

    task = "text2text-generation"
    output_ranks: ClassVar = {"logits": 3}

    def __init__(
        self, artifact: Artifact, encoder: Session, decoder: Session, name_or_path: str = "", dtype: str = "fp32"
    ) -> None:
        super().__init__(artifact, decoder, name_or_path, dtype)
        self.decoder = self._hearing = HearingDecoder(decoder, self.max_length)
        self.encoder = encoder
        self._audio_specs = {spec.name: spec for spec in encoder.inputs}

    def use_prefix_cache(self, max_bytes: int) -> PrefixCache:
        """Refused: prompts that are alike in their tokens may hold different audio."""
        raise InputError("A speech language model has no prefix cache: equal tokens may stand for different audio.")

    def __call__(  # type: ignore[override]
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        **inputs: Any,
    ) -> ModelOutput | tuple[Any, ...]:
        """Run tokens, and audio in their midst.

        Args:
            input_ids: (batch, sequence) integers, as of a causal language model.
            attention_mask: (batch, sequence), 0 for padding on either side.
            inputs: what the encoder takes, by name, such as ``input_features``; and the causal model's options.

        Returns:
            ``logits`` (batch, sequence, vocab) float32, zero on padding, and ``past_key_values``.

        Raises:
            InputError, InputTypeError, InputTooLongError: an input is missing, or has a wrong shape, dtype or value.
        """
        audio = self._audio_among(inputs)
        reader = self._listening(audio, input_ids, attention_mask) if audio else self
        return AutoModelForCausalLM.__call__(reader, input_ids, attention_mask, **inputs)

    def generate(
        self,
        inputs: ArrayLike | None = None,
        *arguments: Any,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        **options: Any,
    ) -> TokenIds | GenerateOutput:
        """Continue prompts that may have audio in them, with transformers' options under their names.

        Args:
            inputs: (batch, sequence) integers, the prompts; the same as ``input_ids``.
            arguments: as of :meth:`~headway.runtime.generation.causal_lm.AutoModelForCausalLM.generate`.
            input_ids: the prompts.
            attention_mask: (batch, sequence), 0 for padding; None works it out from ``pad_token_id``.
            options: what the encoder takes, by name, and :class:`GenerationConfig`'s options.

        Returns:
            (batch * num_return_sequences, length) int64: the prompts as they were given and what follows.

        Raises:
            OptionError: an option is unknown, out of range, or contradicts another.
            InputError, InputTypeError, InputTooLongError: the prompts or the audio cannot be used.
        """
        ids = one_input(inputs, input_ids)
        audio = self._audio_among(options)
        if not audio:
            return super().generate(ids, *arguments, attention_mask=attention_mask, **options)
        if options.get("past_key_values") is not None:
            raise InputError("Audio goes with the prompt that begins a cache; leave past_key_values or the audio out.")
        reader = self._listening(audio, ids, attention_mask)
        return AutoModelForCausalLM.generate(reader, ids, *arguments, attention_mask=attention_mask, **options)

    def _audio_among(self, options: dict[str, Any]) -> dict[str, Any]:
        """Take what the encoder takes out of a call's options."""
        names = [name for name in self._audio_specs if name in options]
        audio = {name: options.pop(name) for name in names}
        return {name: value for name, value in audio.items() if value is not None}

    def _listening(
        self, audio: dict[str, Any], input_ids: ArrayLike | None, attention_mask: ArrayLike | None
    ) -> AutoModelForCausalLM:
        """This model for one call, in which it hears the audio where the prompts have tokens of it."""
        if input_ids is None:
            raise InputError("input_ids is missing: which tokens stand for the audio?")
        ids = token_block(input_ids)
        prompts = _prompts(ids, attention_mask)
        listening = copy.copy(self)
        listening.decoder = self._hearing.listening_to(self._heard(audio, ids), prompts)
        return listening

    def _heard(self, audio: dict[str, Any], ids: TokenIds) -> NDArray[np.floating]:
        given = {_TOKENS: ids, **audio} if _TOKENS in self._audio_specs else audio
        missing = [name for name in self._audio_specs if name not in given]
        if missing:
            raise InputError(f"{', '.join(missing)} is missing; the audio is {', '.join(self._audio_specs)}.")
        feeds = {name: conform(spec, given[name]) for name, spec in self._audio_specs.items()}
        require_common_axes(self._audio_specs.values(), feeds)
        (features,) = self.encoder.run(feeds)
        return features


def _prompts(ids: TokenIds, attention_mask: ArrayLike | None) -> list[TokenIds]:
    """The tokens of each row without its padding."""
    if attention_mask is None:
        return list(ids)
    mask = token_mask(attention_mask)
    if mask.shape != ids.shape:
        raise InputError(f"attention_mask has shape {mask.shape} and input_ids {ids.shape}; they must be alike.")
    return [row[kept] for row, kept in zip(ids, mask.astype(bool), strict=True)]
