"""AutoModelForSpeechSeq2Seq: an encoder that listens, and a decoder that writes what it heard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from numpy.typing import ArrayLike

from ..errors import InputError, OptionError
from .config import GenerationConfig
from .history import TokenIds
from .logits import PrefixAllowedTokens
from .outputs import GenerateOutput
from .seq2seq import AutoModelForSeq2SeqLM, EncoderOutput
from .whisper_options import WHISPER_ARGUMENTS, WhisperOptions


class AutoModelForSpeechSeq2Seq(AutoModelForSeq2SeqLM):
    """Whisper, Speech2Text, Moonshine, SpeechEncoderDecoder and their kin.

    ``model(input_features=…, decoder_input_ids=…)`` gives ``logits`` (batch, decoder sequence, vocab) float32;
    :meth:`generate` gives sequences. The input is called ``input_features`` or ``input_values``, as the model has it.
    """

    task = "automatic-speech-recognition"
    encoder_takes_features: ClassVar[bool] = True

    @property
    def is_whisper(self) -> bool:
        """Whether ``generate`` follows Whisper: languages, tasks, timestamps, and audio of any length."""
        return bool(self.config.get("model_type") == "whisper")

    def generate(
        self,
        inputs: ArrayLike | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: Sequence[Callable[..., Any]] | None = None,
        stopping_criteria: Sequence[Callable[..., Any]] | None = None,
        prefix_allowed_tokens_fn: PrefixAllowedTokens | None = None,
        streamer: Any = None,
        *,
        input_features: ArrayLike | None = None,
        input_values: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        decoder_input_ids: ArrayLike | None = None,
        encoder_outputs: EncoderOutput | None = None,
        **options: Any,
    ) -> Any:
        """Write what was said, with transformers' options under their names.

        Args:
            inputs: what the model's feature extractor makes: (batch, mel bins, frames), (batch, frames, size) or
                (batch, samples) float32; the same as ``input_features`` or ``input_values``.
            generation_config: options; the call's own go before it, the model's defaults after it.
            logits_processor: callables ``f(decoder_ids, scores) -> scores``.
            stopping_criteria: callables ``f(decoder_ids, scores) -> bool`` or one bool per row.
            prefix_allowed_tokens_fn: ``f(batch_index, decoder ids of the row) -> allowed token ids``.
            streamer: gets the decoder's prompt and then each token by ``put``, then ``end``.
            input_features: see ``inputs``.
            input_values: see ``inputs``.
            attention_mask: (batch, frames or samples), 0 for padding.
            decoder_input_ids: (batch, tokens) integers that the answers begin with.
            encoder_outputs: what :meth:`get_encoder` gave, in place of the input.
            options: :class:`GenerationConfig`'s; for Whisper also those of
                :class:`~headway.runtime.generation.whisper_options.WhisperOptions`.

        Returns:
            (rows, length) int64: the decoder's tokens from its first on; Whisper's without its prompt and end, as in
            transformers. With ``return_dict_in_generate=True`` an object that holds them as ``sequences``; Whisper
            gives a dictionary where segments or timestamps of tokens are asked for.

        Raises:
            OptionError: an option is unknown, out of range, or contradicts another.
            InputError, InputTypeError, InputTooLongError: the inputs cannot be used.
            CacheMemoryError: the KV cache does not fit into memory.
        """
        given = [value for value in (inputs, input_features, input_values) if value is not None]
        if len(given) + (encoder_outputs is not None) != 1:
            raise InputError(
                f"generate() got {len(given)} inputs{' and encoder_outputs' if encoder_outputs is not None else ''}; "
                f"one is needed, {self.main_input_name}."
            )
        features = given[0] if given else None
        arguments: dict[str, Any] = {
            "generation_config": generation_config,
            "logits_processor": logits_processor,
            "stopping_criteria": stopping_criteria,
            "prefix_allowed_tokens_fn": prefix_allowed_tokens_fn,
            "streamer": streamer,
        }
        if self.is_whisper and decoder_input_ids is None and encoder_outputs is None:
            from .whisper import transcribe

            chosen = WhisperOptions.chosen({name: options.pop(name) for name in WHISPER_ARGUMENTS & options.keys()})
            return transcribe(self, features, attention_mask, chosen, {**arguments, **options})
        unusable = sorted(WHISPER_ARGUMENTS & options.keys() - {"temperature"} - self.generation_config.extra.keys())
        if unusable:
            raise OptionError(f"{', '.join(unusable)} is Whisper's, called with input_features; leave it out here.")
        return self.generate_tokens(
            features,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            encoder_outputs=encoder_outputs,
            **arguments,
            **options,
        )

    def generate_tokens(self, inputs: ArrayLike | None, **arguments: Any) -> TokenIds | GenerateOutput:
        """One run of the decoder for each row: what every encoder-decoder's ``generate`` does."""
        return super().generate(inputs, **arguments)
