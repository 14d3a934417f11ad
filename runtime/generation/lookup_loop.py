"""Prompt-lookup decoding: several tokens per model call where the text repeats itself, the same tokens as without."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from ..errors import OptionError
from .history import Scores, TokenHistory, TokenIds
from .loop import Generated, Generation, Recorder, row_sampler, stream_prompt
from .protocol import NextTokenLogits
from .speculative import accept_candidates, lookup_candidates


@runtime_checkable
class CandidateLogits(Protocol):
    """A network that can run several tokens of one row at once, and take them back."""

    def score(self, tokens: TokenIds) -> Scores:
        """Append tokens to the only row; (tokens, vocab) float32, the logits after each of them."""

    def truncate(self, length: int) -> None:
        """Forget all but the first ``length`` tokens of the only row."""


def generate_with_lookup(network: NextTokenLogits, generation: Generation) -> Generated:
    """Greedy search or sampling of one prompt, with candidates from earlier in its text.

    Raises:
        OptionError: there are several prompts, or the network cannot run several tokens at once.
    """
    if generation.prompts.num_rows != 1:
        raise OptionError(
            f"prompt_lookup_num_tokens works with one prompt at a time; got {generation.prompts.num_rows}. "
            "Generate them one by one, or leave it out."
        )
    if not isinstance(network, CandidateLogits):
        raise OptionError("prompt_lookup_num_tokens is not available for this model's graph; leave it out.")
    state = _LookupState(generation)
    stream_prompt(generation)
    logits, candidates = network.prefill(generation.prompts), np.empty(0, dtype=np.int64)
    while not state.accept(candidates, logits):
        network.truncate(state.history.length - 1 - int(state.history.starts[0]))
        candidates = state.candidates()
        logits = network.score(np.concatenate([state.history.last_tokens, candidates]))
    return Generated(state.history.new_ids.copy(), state.recorder.scores, state.recorder.logits)


class _LookupState:
    """Tokens of the row so far, and what was recorded about them."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.config = generation.config
        self.history: TokenHistory = generation.prompts.select(np.arange(1))
        self.recorder = Recorder(generation.config)
        self.sampler = row_sampler(generation)

    def candidates(self) -> TokenIds:
        """Guesses for the next tokens; fewer near the length limit, where one token always comes from the model."""
        wanted = self.config.prompt_lookup_num_tokens or 0
        if self.config.max_length is not None:
            wanted = min(wanted, self.config.max_length - self.history.length - 1)
        ngram_size = self.config.max_matching_ngram_size
        return lookup_candidates(self.history.row(0), wanted, ngram_size, self.config.eos_token_ids)

    def accept(self, candidates: TokenIds, logits: Scores) -> bool:
        """Append the tokens that the model confirms and the one it adds; whether the row is done."""
        tokens, scores = accept_candidates(
            candidates,
            logits,
            self.history,
            self.generation.processors,
            self.sampler,
            eos_token_ids=self.config.eos_token_ids,
        )
        for position, token in enumerate(tokens):
            self.history.append(np.array([token]))
            self.recorder.record(scores[position], logits[position : position + 1])
            if self.generation.streamer is not None:
                self.generation.streamer.put(np.array([token]))
            if self.generation.stopping(self.history, self.recorder.scores).all():
                return True
        return False
