"""AutoModelForSeq2SeqLM: logits of a text given another, and generate()."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..artifact import Artifact
from ..errors import InputError, InputTypeError, OptionError
from ..model import Model, require_task
from ..outputs import ModelOutput
from ..session import Session, SessionOptions
from .call_checks import one_input, require_callbacks, require_known_options, token_block
from .config import GenerationConfig
from .config_defaults import default_generation_config
from .config_resolve import resolve_config, resolve_lengths
from .generation_call import make_generation
from .hearing_decoder import is_hearing_graph
from .history import TokenHistory, TokenIds
from .logits import PrefixAllowedTokens
from .loop import Generated, run_generation
from .outputs import GenerateBeamEncoderDecoderOutput, GenerateEncoderDecoderOutput, GenerateOutput
from .seq2seq_cache import EncodedInputs, Seq2SeqCache, require_cache_memory
from .seq2seq_graphs import Seq2SeqGraphs
from .seq2seq_logits import Seq2SeqLogits
from .seq2seq_open import DECODER, ENCODER, open_seq2seq
from .seq2seq_prompt import decoder_prompt, require_decoder_ids, require_no_padding
from .tokens import infer_attention_mask


class EncoderOutput(ModelOutput):
    """``last_hidden_state`` (batch, sequence, hidden) float32, with what the decoder reads of the encoder."""

    def __init__(self, encoded: EncodedInputs) -> None:
        super().__init__(last_hidden_state=encoded.last_hidden_state.numpy())
        self.encoded = encoded

    def select(self, rows: NDArray[np.integer]) -> EncoderOutput:
        """Those of ``rows``, in that order."""
        return EncoderOutput(self.encoded.select(rows))


class AutoModelForSeq2SeqLM(Model):
    """An encoder-decoder language model.

    ``model(input_ids, attention_mask, decoder_input_ids)`` gives ``logits`` (batch, decoder sequence, vocab) float32
    and ``past_key_values`` for the next call; :meth:`generate` gives sequences, as transformers' does. Several threads
    may call one model.
    """

    task = "text2text-generation"
    output_ranks: ClassVar = {"last_hidden_state": 3}
    encoder_takes_features: ClassVar[bool] = False
    """Whether the encoder's input is audio or the like, and no token ids."""

    def __init__(self, artifact: Artifact, graphs: Seq2SeqGraphs, name_or_path: str = "", dtype: str = "fp32") -> None:
        super().__init__(artifact, graphs.encoder, name_or_path, dtype)
        self.max_decoder_length = graphs.max_length
        self.graphs = graphs
        self.generation_config = default_generation_config(artifact)

    @classmethod
    def from_artifact(
        cls,
        artifact: Artifact,
        dtype: str | None = None,
        file_name: str | None = None,
        options: SessionOptions | None = None,
        name_or_path: str = "",
    ) -> Self:
        """Load the graphs of an artifact that is open; see :meth:`from_pretrained`.

        A speech language model, which transformers has in the same table, gives a
        :class:`~headway.runtime.generation.hearing.HearingLanguageModel`.

        Raises:
            OptionError: ``file_name`` is given; there are two files.
        """
        if file_name is not None:
            raise OptionError(
                f"file_name={file_name!r} names one file; an encoder-decoder has two. Pass dtype= instead."
            )
        require_task(artifact, cls)
        chosen = artifact.chosen_dtype(dtype)
        if artifact.manifest is None:
            return cls(artifact, open_seq2seq(artifact, dtype, options), name_or_path, chosen)
        encoder, decoder = (
            Session(artifact.model_file(component, dtype), artifact.folder, options) for component in (ENCODER, DECODER)
        )
        if is_hearing_graph(decoder):
            from .hearing import HearingLanguageModel

            listener: Any = HearingLanguageModel(artifact, encoder, decoder, name_or_path, chosen)
            return cast("Self", listener)
        graphs = Seq2SeqGraphs(encoder, decoder, artifact.manifest.max_decoder_length)
        return cls(artifact, graphs, name_or_path, chosen)

    def get_encoder(self) -> Callable[..., EncoderOutput]:
        """The encoder: called with its inputs by name, it gives what ``encoder_outputs=`` takes."""
        return self._encode

    def _encode(self, input_ids: ArrayLike | None = None, **inputs: Any) -> EncoderOutput:
        inputs.pop("return_dict", None)
        if input_ids is not None:
            inputs = {self.main_input_name: input_ids, **inputs}
        return EncoderOutput(self.graphs.encode(self.prepare_feeds(inputs)))

    def __call__(  # type: ignore[override]
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        decoder_input_ids: ArrayLike | None = None,
        decoder_attention_mask: ArrayLike | None = None,
        encoder_outputs: EncoderOutput | None = None,
        past_key_values: Seq2SeqCache | None = None,
        use_cache: bool | None = None,
        *,
        return_dict: bool = True,
        **inputs: Any,
    ) -> ModelOutput | tuple[Any, ...]:
        """Run decoder tokens.

        Args:
            input_ids: (batch, sequence) integers, the encoder's input; not needed with one of the next two but one.
            attention_mask: (batch, sequence), 0 for padding on either side; default ones.
            decoder_input_ids: (batch, decoder sequence) integers: new tokens, after those in ``past_key_values``.
            decoder_attention_mask: accepted where it masks nothing.
            encoder_outputs: what :meth:`get_encoder` gave, so that the encoder is not run again.
            past_key_values: what an earlier call returned; it is extended in place, and holds the encoder's part.
            use_cache: False leaves ``past_key_values`` out of the result.
            return_dict: False gives a plain tuple.
            inputs: the encoder's other inputs by name.

        Returns:
            ``logits`` (batch, decoder sequence, vocab) float32, ``past_key_values``, and
            ``encoder_last_hidden_state`` (batch, sequence, hidden) float32.

        Raises:
            InputError, InputTypeError, InputTooLongError: an input is missing, or has a wrong shape, dtype or value.
        """
        if decoder_input_ids is None:
            raise InputError("decoder_input_ids is missing; begin with the config's decoder_start_token_id.")
        ids = require_decoder_ids(decoder_input_ids, self.graphs.vocab_size)
        require_no_padding(decoder_attention_mask)
        cache = past_key_values
        if cache is not None and not isinstance(cache, Seq2SeqCache):
            raise InputTypeError(
                f"past_key_values is a {type(cache).__name__}; pass what an earlier call of this model returned."
            )
        if cache is None:
            cache = self.graphs.new_cache(self._encoded(input_ids, attention_mask, encoder_outputs, inputs))
        if cache.num_rows != len(ids):
            raise InputError(f"decoder_input_ids has {len(ids)} rows for {cache.num_rows} inputs; one each is needed.")
        output = ModelOutput(logits=self.graphs.run(cache, ids))
        if use_cache is not False:
            output["past_key_values"] = cache
        output["encoder_last_hidden_state"] = cache.encoded.last_hidden_state.numpy()
        return output if return_dict else output.to_tuple()

    def generate(
        self,
        inputs: ArrayLike | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: Sequence[Callable[..., Any]] | None = None,
        stopping_criteria: Sequence[Callable[..., Any]] | None = None,
        prefix_allowed_tokens_fn: PrefixAllowedTokens | None = None,
        streamer: Any = None,
        *,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        decoder_input_ids: ArrayLike | None = None,
        decoder_attention_mask: ArrayLike | None = None,
        encoder_outputs: EncoderOutput | None = None,
        tokenizer: Any = None,
        **options: Any,
    ) -> TokenIds | GenerateOutput:
        """Write a text for each input, with transformers' options under their names.

        Args:
            inputs: (batch, sequence) integers, the encoder's input, padded on either side; the same as ``input_ids``.
            generation_config: options; the call's own go before it, the model's defaults after it.
            logits_processor: callables ``f(decoder_ids, scores) -> scores``.
            stopping_criteria: callables ``f(decoder_ids, scores) -> bool`` or one bool per row.
            prefix_allowed_tokens_fn: ``f(batch_index, decoder ids of the row) -> allowed token ids``.
            streamer: gets the decoder's prompt and then each token by ``put``, then ``end``.
            input_ids: the encoder's input.
            attention_mask: (batch, sequence), 0 for padding; None works it out from ``pad_token_id``.
            decoder_input_ids: (batch, tokens) integers that the answers begin with; by default the model's
                ``decoder_start_token_id``.
            decoder_attention_mask: accepted where it masks nothing.
            encoder_outputs: what :meth:`get_encoder` gave, in place of ``input_ids``.
            tokenizer: for ``stop_strings``.
            options: :class:`GenerationConfig`'s.

        Returns:
            (batch * num_return_sequences, length) int64: the decoder's tokens from its first on, filled up with
            ``pad_token_id``; with ``return_dict_in_generate=True`` an object that holds them as ``sequences``.

        Raises:
            OptionError: an option is unknown, out of range, or contradicts another.
            InputError, InputTypeError, InputTooLongError: the inputs cannot be used.
            CacheMemoryError: the KV cache does not fit into memory.
        """
        require_callbacks(
            logits_processor=logits_processor,
            stopping_criteria=stopping_criteria,
            prefix_allowed_tokens_fn=prefix_allowed_tokens_fn,
            streamer=streamer,
        )
        config = resolve_config(self.generation_config, generation_config, **options)
        require_no_padding(decoder_attention_mask)
        ids, mask = self._encoder_ids(one_input(inputs, input_ids), attention_mask, config)
        encoded = self._encoded(ids, mask, encoder_outputs, {})
        prompts = self._decoder_prompts(config, encoded.num_rows, decoder_input_ids)
        if self.encoder_takes_features:
            ids = mask = None  # what is repeated in the input is known of ids only
        config = resolve_lengths(config, prompts.length, context_length=self.max_decoder_length)
        require_known_options(config, self.graphs.vocab_size, prompts.num_rows * (config.num_return_sequences or 1))
        generation = make_generation(
            prompts,
            config,
            ids,
            mask,
            logits_processor=logits_processor,
            stopping_criteria=stopping_criteria,
            prefix_allowed_tokens_fn=prefix_allowed_tokens_fn,
            streamer=streamer,
            tokenizer=tokenizer,
        )
        self._require_memory(config, prompts.num_rows)
        cache = self.graphs.new_cache(encoded)
        return _output(prompts, run_generation(Seq2SeqLogits(self.graphs, cache), generation), config, cache)

    def _encoded(
        self,
        input_ids: ArrayLike | None,
        attention_mask: ArrayLike | None,
        encoder_outputs: EncoderOutput | None,
        inputs: dict[str, Any],
    ) -> EncodedInputs:
        if encoder_outputs is None:
            main = {} if input_ids is None else {self.main_input_name: input_ids}
            return self.graphs.encode(self.prepare_feeds({**main, "attention_mask": attention_mask, **inputs}))
        if not isinstance(encoder_outputs, EncoderOutput):
            raise InputError(
                f"encoder_outputs is a {type(encoder_outputs).__name__}; pass what model.get_encoder()(…) returned."
            )
        encoded = encoder_outputs.encoded
        if attention_mask is None:
            return encoded
        mask = np.asarray(attention_mask).astype(np.int64)
        if mask.shape != encoded.attention_mask.shape:
            raise InputError(f"attention_mask is {mask.shape}; encoder_outputs needs {encoded.attention_mask.shape}.")
        return EncodedInputs(encoded.states, mask, encoded.last_hidden_state)

    def _encoder_ids(
        self, input_ids: ArrayLike | None, attention_mask: ArrayLike | None, config: GenerationConfig
    ) -> tuple[ArrayLike | None, ArrayLike | None]:
        if input_ids is None or attention_mask is not None or self.encoder_takes_features:
            return input_ids, attention_mask
        ids = token_block(input_ids)
        return ids, infer_attention_mask(ids, config.pad_token_id, config.eos_token_ids)

    def _decoder_prompts(self, config: GenerationConfig, batch: int, given: ArrayLike | None) -> TokenHistory:
        model_type = str(self.config.get("model_type", ""))
        return TokenHistory.from_prompts(
            decoder_prompt(config, batch, self.graphs.vocab_size, given, model_type=model_type)
        )

    def _require_memory(self, config: GenerationConfig, num_inputs: int) -> None:
        num_rows = num_inputs * max(config.num_beams or 1, config.num_return_sequences or 1)
        require_cache_memory(self.graphs.past_specs, num_rows, config.max_length or 1)


def _output(
    prompts: TokenHistory, generated: Generated, config: GenerationConfig, cache: Seq2SeqCache
) -> TokenIds | GenerateOutput:
    num_copies = len(generated.new_ids) // prompts.num_rows
    sequences = np.concatenate([np.repeat(prompts.ids, num_copies, axis=0), generated.new_ids], axis=1)
    if not config.return_dict_in_generate:
        return sequences
    kind = GenerateEncoderDecoderOutput if generated.beam_indices is None else GenerateBeamEncoderDecoderOutput
    return kind(
        sequences=sequences,
        sequences_scores=generated.sequences_scores,
        scores=generated.scores,
        logits=generated.logits,
        beam_indices=generated.beam_indices,
        past_key_values=cache,
    )
