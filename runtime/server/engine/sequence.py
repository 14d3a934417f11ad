"""One sequence while it generates: from the logits of its last token to its next token and text."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...generation.history import Scores, TokenHistory, TokenIds
from ...generation.logits import build_processors
from ...generation.sampler import make_sampler
from ...generation.stream import IncrementalDecoder, StopStringFilter
from ...generation.top import highest_indices
from .requests import Piece, ScoreProcessor, SequenceRequest, TokenLogprob


class Sequence:
    """The state of a sequence: its tokens so far, and what chooses the next one.

    Args:
        request: what was asked.
        tokenizer: with ``decode``.
        constraints: processors of scores that follow the request's grammar.
    """

    def __init__(self, request: SequenceRequest, tokenizer: Any, constraints: Iterable[ScoreProcessor] = ()) -> None:
        self.request = request
        self.slot = -1
        self.num_cached_tokens = 0
        self.num_prefilled_tokens = 0
        self.queue_s = 0.0
        self._made_at = time.monotonic()
        self._history = TokenHistory.from_prompts(request.prompt_ids[None])
        self._processors = build_processors(
            request.config,
            encoder_input_ids=request.prompt_ids[None],
            custom=[*(make() for make in request.make_processors), *constraints],
        )
        self._sampler = make_sampler(request.config, request.config.seed, num_rows=1)
        self._end_ids = frozenset(request.config.eos_token_ids)
        self._text = IncrementalDecoder.for_tokenizer(tokenizer, skip_special_tokens=True)
        self._stop = StopStringFilter(request.stop)

    @property
    def is_prefilled(self) -> bool:
        """Whether the whole prompt has run."""
        return self.num_prefilled_tokens == len(self.request.prompt_ids)

    @property
    def last_token(self) -> int:
        """The newest token, which the next step appends to the cache."""
        return int(self._history.last_tokens[0])

    def leave_queue(self) -> None:
        """Note that it has a place."""
        self.queue_s = time.monotonic() - self._made_at

    def next_chunk(self, max_tokens: int) -> TokenIds:
        """The next tokens of the prompt to run."""
        start = self.num_prefilled_tokens
        return self.request.prompt_ids[start : start + max_tokens]

    def advance(self, logits: Scores) -> Piece:
        """Choose the next token.

        Args:
            logits: (vocab,) float32, after the last token.
        """
        scores = self._processors(self._history, logits[None])
        token = int(self._sampler(scores, None)[0])
        self._history.append([token])
        if token in self._end_ids:
            return self._piece(token, self._stop.push(self._text.flush()) + self._stop.flush(), None, "stop")
        logprob = None if self.request.num_top_logprobs is None else self._logprob(logits, token)
        text = self._stop.push(self._text.decode(token))
        if self._stop.is_stopped:
            return self._piece(token, text, logprob, "stop")
        if self._history.length < (self.request.config.max_length or 0):
            return self._piece(token, text, logprob, None)
        text += self._stop.push(self._text.flush())
        reason = "stop" if self._stop.is_stopped else "length"
        return self._piece(token, text + self._stop.flush(), logprob, reason)

    def _piece(self, token: int, text: str, logprob: TokenLogprob | None, finish_reason: str | None) -> Piece:
        return Piece(self.request.index, text, token, logprob, finish_reason, self.num_cached_tokens, self.queue_s)

    def _logprob(self, logits: Scores, token: int) -> TokenLogprob:
        shifted = logits - logits.max()
        normalizer = np.log(np.exp(shifted).sum())
        count = self.request.num_top_logprobs or 0
        best = highest_indices(logits, count).tolist() if count else []
        top = tuple((index, float(shifted[index] - normalizer)) for index in best)
        return TokenLogprob(token, float(shifted[token] - normalizer), top)
