"""AutoModelForCausalLM: logits of a text, and generate()."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..artifact import Artifact, split_dtype
from ..errors import InputError, InputTypeError, OptionError
from ..model import Model, require_described, require_outputs, require_task
from ..outputs import ModelOutput
from ..session import Session, SessionOptions
from .cache import SharedBufferCache
from .call_checks import one_input, require_callbacks, require_known_options, token_block, token_mask
from .config import GenerationConfig
from .config_defaults import default_generation_config
from .config_resolve import resolve_config, resolve_lengths
from .decoder_graphs import DecoderGraphs, max_positions
from .decoder_logits import DecoderLogits
from .generation_call import make_generation
from .grammar import Grammar, GrammarCompiler
from .graph_facts import GraphFacts
from .history import TokenHistory, TokenIds
from .logits import PrefixAllowedTokens
from .loop import Generated, run_generation
from .network import TokenCache, open_decoder
from .outputs import GenerateBeamDecoderOnlyOutput, GenerateDecoderOnlyOutput, GenerateOutput
from .prefix_cache import PrefixCache
from .tokens import infer_attention_mask, require_known_ids

_MANUAL_SPARE_TOKENS = 64


class AutoModelForCausalLM(Model):
    """A causal language model.

    ``model(input_ids)`` gives ``logits`` (batch, sequence, vocab) float32 and ``past_key_values`` for the next call;
    :meth:`generate` gives sequences, as transformers' does. Several threads may call one model.
    """

    task = "text-generation"
    output_ranks: ClassVar = {"logits": 3}

    def __init__(
        self,
        artifact: Artifact,
        session: Session,
        name_or_path: str = "",
        dtype: str = "fp32",
        prefill: Session | None = None,
        embeddings: Session | None = None,
    ) -> None:
        super().__init__(artifact, session, name_or_path, dtype)
        self.max_length = max_positions(artifact)
        self.decoder = open_decoder(session, self.max_length, prefill, GraphFacts.of(artifact), embeddings)
        self.generation_config = default_generation_config(artifact)
        self.prefix_cache: PrefixCache | None = None

    @classmethod
    def from_artifact(
        cls,
        artifact: Artifact,
        dtype: str | None = None,
        file_name: str | None = None,
        options: SessionOptions | None = None,
        name_or_path: str = "",
    ) -> Self:
        """Load a model from an artifact that is open; see :meth:`from_pretrained`.

        ``dtype="int8+q4"`` runs prompts in the first precision and single steps in the second, on one cache.

        Raises:
            OptionError: more than two precisions are joined.
        """
        require_task(artifact, cls)
        *prompt, step = split_dtype(dtype)
        if len(prompt) > 1:
            raise OptionError(f"dtype is {dtype!r}; at most two precisions can be joined, such as 'int8+q4'.")
        graphs = DecoderGraphs.open(artifact, step, file_name, options)
        if file_name is None:
            require_described(graphs.step, artifact, step)
        require_outputs(graphs.step, cls)
        prefill = (
            Session(artifact.model_file("model", prompt[0]), artifact.folder, options) if prompt else graphs.prefill
        )
        return cls(artifact, graphs.step, name_or_path, artifact.chosen_dtype(step), prefill, graphs.embeddings)

    def use_prefix_cache(self, max_bytes: int) -> PrefixCache:
        """Keep keys and values of generated texts, so that later prompts that begin alike start from there.

        Args:
            max_bytes: what they may take together; the least recently used are dropped.
        """
        self.prefix_cache = PrefixCache(max_bytes)
        return self.prefix_cache

    def __call__(  # type: ignore[override]
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
        past_key_values: TokenCache | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        *,
        return_dict: bool = True,
    ) -> ModelOutput | tuple[Any, ...]:
        """Run tokens.

        Args:
            input_ids: (batch, sequence) integers: new tokens, after those in ``past_key_values``.
            attention_mask: (batch, sequence) or, with a past, (batch, past + sequence); 0 for padding on either side.
            position_ids: accepted for transformers' sake; a row's tokens are always numbered one after the other.
            past_key_values: what an earlier call returned; it is extended in place.
            use_cache: False leaves ``past_key_values`` out of the result.
            logits_to_keep: logits of this many last columns; 0 for all.
            return_dict: False gives a plain tuple.

        Returns:
            ``logits`` (batch, sequence, vocab) float32, zero on padding, and ``past_key_values``.

        Raises:
            InputError, InputTypeError, InputTooLongError: an input is missing, or has a wrong shape, dtype or value.
        """
        ids = token_block(input_ids)
        self._check_ids(ids)
        require_known_ids(ids, self.decoder.vocab_size)
        is_token = _new_token_mask(ids, attention_mask)
        if past_key_values is None:
            past_key_values = self.decoder.new_cache(len(ids), ids.shape[1] + _MANUAL_SPARE_TOKENS)
        _require_cache(past_key_values)
        if past_key_values.num_rows != len(ids):
            raise InputError(f"past_key_values holds {past_key_values.num_rows} rows and input_ids {len(ids)}.")
        _check_positions(position_ids, is_token, past_key_values.lengths)
        logits = self._score(past_key_values, ids, is_token)
        kept = logits[:, -logits_to_keep:] if logits_to_keep else logits
        output = ModelOutput(logits=kept)
        if use_cache is not False:
            output["past_key_values"] = past_key_values
        return output if return_dict else output.to_tuple()

    def _score(self, cache: TokenCache, ids: TokenIds, is_token: NDArray[np.bool_]) -> NDArray[np.float32]:
        if ids.shape[1] == 1:
            return self.decoder.decode(cache, ids[:, 0])[:, None].copy()
        rows = self.decoder.score(cache, [row[kept] for row, kept in zip(ids, is_token, strict=True)])
        if is_token.all():
            return np.stack(rows)
        logits = np.zeros((*ids.shape, self.decoder.vocab_size), dtype=np.float32)
        for row, (row_logits, kept) in enumerate(zip(rows, is_token, strict=True)):
            logits[row, kept] = row_logits
        return logits

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
        past_key_values: TokenCache | None = None,
        tokenizer: Any = None,
        grammar: Grammar | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> TokenIds | GenerateOutput:
        """Continue prompts, with transformers' options under their names.

        Args:
            inputs: (batch, sequence) integers, the prompts, padded on either side; the same as ``input_ids``.
            generation_config: options; the call's own go before it, the model's defaults after it.
            logits_processor: callables ``f(input_ids, scores) -> scores``.
            stopping_criteria: callables ``f(input_ids, scores) -> bool`` or one bool per row.
            prefix_allowed_tokens_fn: ``f(batch_index, input_ids of the row) -> allowed token ids``.
            streamer: gets the prompt and then each token by ``put``, then ``end``.
            input_ids: the prompts; without any, the model's beginning-of-sequence id.
            attention_mask: (batch, sequence), 0 for padding; None works it out from ``pad_token_id``.
            past_key_values: a cache of an earlier call; what it holds of the prompts is not run again.
            tokenizer: for ``stop_strings`` and ``grammar``.
            grammar: what the new text has to look like: a :class:`Grammar`, or a JSON schema as a dict (needs the
                ``[serve]`` extra).
            options: :class:`GenerationConfig`'s.

        Returns:
            (batch * num_return_sequences, length) int64: the prompts as they were given and what follows, filled up
            with ``pad_token_id``; with ``return_dict_in_generate=True`` an object that holds them as ``sequences``.

        Raises:
            OptionError: an option is unknown, out of range, or contradicts another.
            InputError, InputTypeError, InputTooLongError: the prompts cannot be used.
            CacheMemoryError: the KV cache does not fit into memory.
        """
        require_callbacks(
            logits_processor=logits_processor,
            stopping_criteria=stopping_criteria,
            prefix_allowed_tokens_fn=prefix_allowed_tokens_fn,
            streamer=streamer,
        )
        config = resolve_config(self.generation_config, generation_config, **options)
        ids, mask = self._prompts(one_input(inputs, input_ids), attention_mask, config)
        prompts = TokenHistory.from_prompts(ids, mask, pad_token_id=config.pad_token_id)
        config = resolve_lengths(config, prompts.length, context_length=self.max_length)
        require_known_options(config, self.decoder.vocab_size, prompts.num_rows * (config.num_return_sequences or 1))
        if grammar is not None:
            compiler = GrammarCompiler(tokenizer, self.decoder.vocab_size, config.eos_token_ids)
            logits_processor = [*(logits_processor or ()), compiler.constraint(Grammar.of(grammar))]
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
            keeps_cache=past_key_values is not None,
        )
        cache = self._prompt_cache(prompts, config, past_key_values)
        generated = run_generation(DecoderLogits(self.decoder, cache), generation)
        self._remember(cache)
        return _output(ids, generated, config, cache)

    def _prompts(
        self, input_ids: ArrayLike | None, attention_mask: ArrayLike | None, config: GenerationConfig
    ) -> tuple[TokenIds, NDArray[Any]]:
        if input_ids is None:
            if not isinstance(config.bos_token_id, int):
                raise InputError("input_ids is missing, and the model has no beginning-of-sequence id to start from.")
            input_ids = [[config.bos_token_id]]
        ids = token_block(input_ids)
        require_known_ids(ids, self.decoder.vocab_size)
        if attention_mask is None:
            return ids, infer_attention_mask(ids, config.pad_token_id, config.eos_token_ids)
        return ids, token_mask(attention_mask)

    def _prompt_cache(self, prompts: TokenHistory, config: GenerationConfig, given: TokenCache | None) -> TokenCache:
        if given is not None:
            _require_cache(given)
            if given.num_rows != prompts.num_rows:
                raise InputError(
                    f"past_key_values holds {given.num_rows} rows and there are {prompts.num_rows} prompts."
                )
            return given
        capacity = config.max_length or prompts.length
        cache: TokenCache = self.decoder.new_cache(prompts.num_rows, capacity)
        if self.prefix_cache is not None and isinstance(cache, SharedBufferCache):
            for row in range(prompts.num_rows):
                self.prefix_cache.restore(cache, row, prompts.row(row))
        return cache

    def _remember(self, cache: TokenCache) -> None:
        if self.prefix_cache is not None and isinstance(cache, SharedBufferCache):
            for row in range(cache.num_rows):
                self.prefix_cache.store(cache, row)


def _require_cache(past_key_values: Any) -> None:
    if not hasattr(past_key_values, "row_ids"):
        raise InputTypeError(
            f"past_key_values is a {type(past_key_values).__name__}; pass what an earlier call of this model returned."
        )


def _new_token_mask(ids: TokenIds, attention_mask: ArrayLike | None) -> NDArray[np.bool_]:
    """Which of the new columns hold a token of their row; a mask may cover the past too."""
    if attention_mask is None:
        return np.ones(ids.shape, dtype=bool)
    mask = token_mask(attention_mask)
    if mask.ndim != 2 or mask.shape[0] != ids.shape[0] or mask.shape[1] < ids.shape[1]:
        raise InputError(
            f"attention_mask has shape {mask.shape} and input_ids {ids.shape}; "
            "as many rows are needed, and at least as many columns."
        )
    is_token = mask[:, mask.shape[1] - ids.shape[1] :]
    empty = np.flatnonzero(~is_token.any(axis=1))
    if len(empty):
        raise InputError(f"Row {empty[0]} of input_ids holds no token; every row needs at least one.")
    return is_token


def _check_positions(position_ids: ArrayLike | None, is_token: NDArray[np.bool_], lengths: NDArray[np.int32]) -> None:
    if position_ids is None:
        return
    counted = lengths[:, None] + np.cumsum(is_token, axis=1) - 1
    given = np.broadcast_to(np.asarray(position_ids), counted.shape)
    if (given != counted)[is_token].any():
        raise InputError(
            "position_ids numbers a row's tokens otherwise than one after the other, which the model's graph does not "
            "take. Leave position_ids out."
        )


def _output(
    ids: TokenIds, generated: Generated, config: GenerationConfig, cache: TokenCache
) -> TokenIds | GenerateOutput:
    num_copies = len(generated.new_ids) // len(ids)
    sequences = np.concatenate([np.repeat(ids, num_copies, axis=0), generated.new_ids], axis=1)
    if not config.return_dict_in_generate:
        return sequences
    fields = {
        "sequences": sequences,
        "sequences_scores": generated.sequences_scores,
        "scores": generated.scores,
        "logits": generated.logits,
        "beam_indices": generated.beam_indices,
        "past_key_values": cache,
    }
    kind = GenerateDecoderOnlyOutput if generated.beam_indices is None else GenerateBeamDecoderOnlyOutput
    return kind(**fields)
