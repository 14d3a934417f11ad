"""What one call of generate() asks for, made ready for the loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import ArrayLike

from .config import GenerationConfig
from .history import TokenHistory
from .logits import PrefixAllowedTokens, build_processors
from .loop import Generation
from .stop_strings import token_text_of
from .stopping import build_stopping


def make_generation(
    prompts: TokenHistory,
    config: GenerationConfig,
    encoder_input_ids: ArrayLike | None,
    encoder_attention_mask: ArrayLike | None,
    *,
    logits_processor: Sequence[Callable[..., Any]] | None = None,
    stopping_criteria: Sequence[Callable[..., Any]] | None = None,
    prefix_allowed_tokens_fn: PrefixAllowedTokens | None = None,
    streamer: Any = None,
    tokenizer: Any = None,
    keeps_cache: bool = False,
) -> Generation:
    """Processors and stopping criteria of a call, and whether rows that are done may leave.

    Args:
        prompts: one row per prompt.
        config: with lengths resolved.
        encoder_input_ids: (rows, seq) int64 of the prompt or the encoder; None where the encoder takes no ids.
        encoder_attention_mask: (rows, seq) beside them.
        logits_processor: the caller's own, after those of the configuration.
        stopping_criteria: the caller's own.
        prefix_allowed_tokens_fn: the caller's; see :meth:`.causal_lm.AutoModelForCausalLM.generate`.
        streamer: gets the prompt and then each token.
        tokenizer: for stop strings.
        keeps_cache: whether the caller has the cache, and so sees every row.
    """
    return Generation(
        prompts=prompts,
        config=config,
        processors=build_processors(
            config,
            encoder_input_ids=encoder_input_ids,
            encoder_attention_mask=encoder_attention_mask,
            prefix_allowed_tokens_fn=prefix_allowed_tokens_fn,
            custom=logits_processor or (),
        ),
        stopping=build_stopping(
            config,
            token_text=token_text_of(tokenizer) if config.stop_strings is not None and tokenizer else None,
            custom=stopping_criteria or (),
            streamer=streamer,
        ),
        streamer=streamer,
        # Whoever sees the rows or gets the cache sees them all.
        may_drop_rows=not (logits_processor or stopping_criteria or config.return_dict_in_generate or keeps_cache),
    )
