"""From raw logits to the scores that the next token is chosen by: every processor a configuration asks for, in order.

Source: transformers 5.23, generation/utils.py (`_get_logits_processor`) and generation/logits_process.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .config import GenerationConfig
from .history import Scores, TokenHistory
from .logits_constraints import (
    BeginSuppressTokens,
    ForcedBeginning,
    ForcedEnd,
    LeastLength,
    LeastNewTokens,
    LengthDecay,
    PrefixConstraint,
    SuppressTokens,
)
from .logits_repetition import (
    EncoderNoRepeatNGrams,
    EncoderRepetitionPenalty,
    NoRepeatNGrams,
    RepetitionPenalty,
    SequenceBias,
    bad_words_bias,
)
from .logits_warpers import (
    EpsilonCutoff,
    EtaCutoff,
    MinP,
    Temperature,
    TopH,
    TopK,
    TopP,
    TypicalP,
    remove_invalid_values,
    renormalize,
)

CustomProcessor = Callable[..., Any]
PrefixAllowedTokens = Callable[[int, Any], Iterable[int]]


class LogitsProcessor(Protocol):
    """Changes the scores of every row's next token."""

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Give the processed scores, (rows, vocab) float32; may write into ``scores``."""


@dataclass(frozen=True)
class _Setting:
    config: GenerationConfig
    encoder: TokenHistory | None
    prefix_allowed_tokens_fn: PrefixAllowedTokens | None

    @property
    def min_tokens_to_keep(self) -> int:
        """A beam search needs a candidate that is no end of sequence, so it keeps one more than there are ends."""
        if (self.config.num_beams or 1) == 1:
            return 1
        return max(2, len(self.config.eos_token_ids) + 1)


Factory = Callable[[_Setting], LogitsProcessor | None]


class LogitsPipeline:
    """Processors one after the other; false when there are none, and then the logits are the scores."""

    def __init__(self, processors: Iterable[LogitsProcessor]) -> None:
        self._processors = tuple(processors)

    def __call__(self, history: TokenHistory, logits: Scores) -> Scores:
        """Process one step.

        Args:
            history: the tokens so far, one row per row of ``logits``.
            logits: (rows, vocab) float32 (log-probabilities in a beam search); never written to.

        Returns:
            (rows, vocab) float32.
        """
        if not self._processors:
            return logits
        scores = np.array(logits, dtype=np.float32)
        # A nan or inf of the model passes through quietly; the sampler refuses what cannot be sampled.
        with np.errstate(invalid="ignore", over="ignore"):
            for processor in self._processors:
                scores = processor(history, scores)
        return scores

    def __len__(self) -> int:
        return len(self._processors)

    def __iter__(self) -> Iterator[LogitsProcessor]:
        return iter(self._processors)


def build_processors(
    config: GenerationConfig,
    *,
    encoder_input_ids: ArrayLike | None = None,
    encoder_attention_mask: ArrayLike | None = None,
    prefix_allowed_tokens_fn: PrefixAllowedTokens | None = None,
    custom: Iterable[CustomProcessor] = (),
) -> LogitsPipeline:
    """Processors that a resolved configuration asks for, in transformers' order.

    Args:
        config: of ``resolve_lengths``; ``max_length`` and ``min_length`` count the prompt.
        encoder_input_ids: (batch, sequence) integers, the encoder's input, or a decoder's prompt, for the options whose
            names begin with ``encoder_``.
        encoder_attention_mask: (batch, sequence) for them; None keeps every column.
        prefix_allowed_tokens_fn: ``f(batch_index, input_ids of the row) -> allowed token ids``.
        custom: callables ``f(input_ids, scores) -> scores`` on (rows, length) int64, left-padded, and (rows, vocab)
            float32. They run after the configuration's processors and before the sampling ones, as in transformers.

    Raises:
        OptionError: an option that cannot be had together with this model.
    """
    encoder = None
    if encoder_input_ids is not None:
        encoder = TokenHistory.from_prompts(encoder_input_ids, encoder_attention_mask)
    setting = _Setting(config, encoder, prefix_allowed_tokens_fn)
    processors = [*_made(_CONSTRAINTS, setting), *map(custom_processor, custom)]
    if config.do_sample:
        processors += _made(_WARPERS, setting)
    if config.renormalize_logits:
        processors.append(renormalize)
    return LogitsPipeline(processors)


def custom_processor(function: CustomProcessor) -> LogitsProcessor:
    """The caller's processor, with transformers' arguments.

    Raises, when called:
        InputError: it returns anything but scores of the same shape.
    """

    def process(history: TokenHistory, scores: Scores) -> Scores:
        processed = np.asarray(function(history.ids.copy(), scores))
        if processed.shape != scores.shape or not np.issubdtype(processed.dtype, np.floating):
            raise InputError(
                f"A logits processor returned {processed.dtype} of shape {processed.shape}; "
                f"it returns floating-point scores of shape {scores.shape}."
            )
        return processed.astype(np.float32, copy=False)

    return process


def _made(table: Iterable[tuple[str, Factory]], setting: _Setting) -> list[LogitsProcessor]:
    processors = (make(setting) for name, make in table if _is_set(setting, name))
    return [processor for processor in processors if processor is not None]


def _is_set(setting: _Setting, name: str) -> bool:
    if name == "prefix_allowed_tokens_fn":
        return setting.prefix_allowed_tokens_fn is not None
    value = getattr(setting.config, name)
    return value is not None and value not in _NEUTRAL.get(name, ())


# Option → processor, in the order in which transformers applies them.
_CONSTRAINTS: tuple[tuple[str, Factory], ...] = (
    ("sequence_bias", lambda setting: SequenceBias.from_option(setting.config.sequence_bias)),
    (
        "encoder_repetition_penalty",
        lambda setting: EncoderRepetitionPenalty.for_encoder(setting.config, setting.encoder),
    ),
    ("repetition_penalty", lambda setting: RepetitionPenalty(setting.config.repetition_penalty or 1.0)),
    ("no_repeat_ngram_size", lambda setting: NoRepeatNGrams(setting.config.no_repeat_ngram_size or 0)),
    (
        "encoder_no_repeat_ngram_size",
        lambda setting: EncoderNoRepeatNGrams.for_encoder(setting.config, setting.encoder),
    ),
    ("bad_words_ids", lambda setting: bad_words_bias(setting.config.bad_words_ids or [], setting.config.eos_token_ids)),
    ("min_length", lambda setting: LeastLength.for_config(setting.config)),
    ("min_new_tokens", lambda setting: LeastNewTokens.for_config(setting.config)),
    (
        "prefix_allowed_tokens_fn",
        lambda setting: PrefixConstraint(setting.prefix_allowed_tokens_fn, setting.config.num_beams or 1),
    ),
    ("forced_bos_token_id", lambda setting: ForcedBeginning(setting.config.forced_bos_token_id)),
    ("forced_eos_token_id", lambda setting: ForcedEnd(setting.config.max_length, setting.config.forced_eos_token_id)),
    ("remove_invalid_values", lambda setting: remove_invalid_values),
    ("exponential_decay_length_penalty", lambda setting: LengthDecay.for_config(setting.config)),
    ("suppress_tokens", lambda setting: SuppressTokens(setting.config.suppress_tokens or ())),
    ("begin_suppress_tokens", lambda setting: BeginSuppressTokens.for_config(setting.config)),
)
_WARPERS: tuple[tuple[str, Factory], ...] = (
    ("temperature", lambda setting: Temperature(setting.config.temperature or 1.0)),
    ("top_h", lambda setting: TopH(setting.config.top_h or 1.0)),
    ("top_k", lambda setting: TopK(setting.config.top_k or 0, setting.min_tokens_to_keep)),
    ("top_p", lambda setting: TopP(setting.config.top_p or 0.0, setting.min_tokens_to_keep)),
    ("min_p", lambda setting: MinP(setting.config.min_p or 0.0, setting.min_tokens_to_keep)),
    ("typical_p", lambda setting: TypicalP(setting.config.typical_p or 1.0, setting.min_tokens_to_keep)),
    ("epsilon_cutoff", lambda setting: EpsilonCutoff(setting.config.epsilon_cutoff or 0.0, setting.min_tokens_to_keep)),
    ("eta_cutoff", lambda setting: EtaCutoff(setting.config.eta_cutoff or 0.0, setting.min_tokens_to_keep)),
)
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "encoder_repetition_penalty": (1.0,),
    "repetition_penalty": (1.0,),
    "no_repeat_ngram_size": (0,),
    "encoder_no_repeat_ngram_size": (0,),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "remove_invalid_values": (False,),
    "temperature": (1.0,),
    "top_k": (0,),
    "top_p": (1.0,),
    "typical_p": (1.0,),
    "epsilon_cutoff": (0.0,),
    "eta_cutoff": (0.0,),
}
