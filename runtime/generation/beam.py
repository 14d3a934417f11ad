"""Beam search and beam sampling as state on numpy arrays; the model is run by whoever drives it.

Source: transformers 5.23, generation/utils.py (`_beam_search` and its helpers). Scores are float32 as there, so that
near-ties fall the same way.

A beam search keeps ``num_beams`` running beams per prompt and the ``num_beams`` best finished ones::

    search = BeamSearch(prompts, config, stopping)
    logits = ...  # (batch, vocab) of the prompts
    logits = np.repeat(logits, search.num_beams, axis=0)
    while True:
        step = search.advance(process(search.history, log_softmax(logits)))
        if search.is_done:
            break
        logits = ...  # feed step.tokens after reordering the cache rows by step.source_rows
    result = search.finalize()
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .config import GenerationConfig
from .history import Scores, TokenHistory, TokenIds
from .sampler import Seed, row_generators
from .stopping import StoppingCriteria
from .top import highest_indices

_HOPELESS = np.float32(-1e9)
_LEAST_EXPONENT = -100.0
_NO_FILL = -1


@dataclass(frozen=True)
class BeamStep:
    """What the running beams became.

    Args:
        tokens: (batch * beams,) int64, the newest token of each beam: the model's next input.
        source_rows: (batch * beams,) int64, the row whose cache each beam continues.
    """

    tokens: TokenIds
    source_rows: TokenIds


@dataclass(frozen=True)
class BeamResult:
    """The best sequences of each prompt, best first.

    Args:
        sequences: (batch * num_return_sequences, length) int64, prompt included, filled up behind the end.
        sequences_scores: (batch * num_return_sequences,) float32, log-probability over length ** length_penalty.
        beam_indices: (batch * num_return_sequences, new tokens) int64, the row each token was chosen from; -1
            behind the end.
    """

    sequences: TokenIds
    sequences_scores: Scores
    beam_indices: TokenIds


@dataclass(frozen=True)
class _Beams:
    """Beams of every prompt, running or finished; ``tokens`` and ``indices`` are (batch, beams, new tokens)."""

    tokens: TokenIds
    indices: TokenIds
    scores: Scores  # (batch, beams)
    is_finished: NDArray[np.bool_]  # (batch, beams)

    def select(self, order: NDArray[np.intp]) -> _Beams:
        wide = order[:, :, None]
        return _Beams(
            np.take_along_axis(self.tokens, wide, axis=1),
            np.take_along_axis(self.indices, wide, axis=1),
            np.take_along_axis(self.scores, order, axis=1),
            np.take_along_axis(self.is_finished, order, axis=1),
        )

    def best(self, count: int) -> _Beams:
        return self.select(top_indices(self.scores, count))

    def merged(self, other: _Beams) -> _Beams:
        return _Beams(*(np.concatenate(pair, axis=1) for pair in zip(_arrays(self), _arrays(other), strict=True)))

    def longer(self, token: int) -> _Beams:
        column = ((0, 0), (0, 0), (0, 1))
        tokens = np.pad(self.tokens, column, constant_values=token)
        return _Beams(tokens, np.pad(self.indices, column, constant_values=-1), self.scores, self.is_finished)


class BeamSearch:
    """State of a beam search over a batch of prompts."""

    def __init__(
        self, prompts: TokenHistory, config: GenerationConfig, stopping: StoppingCriteria, *, seed: Seed = None
    ) -> None:
        """Begin with every prompt repeated ``num_beams`` times, only the first of which counts in the first step.

        Args:
            prompts: one row per prompt.
            config: with lengths resolved; ``num_beams``, ``num_return_sequences``, ``length_penalty``,
                ``early_stopping``, ``do_sample`` and the end-of-sequence and padding ids count here.
            stopping: when a beam is finished.
            seed: for beam sampling, as for :func:`.sampler.make_sampler`, one stream per prompt.
        """
        self.num_beams = config.num_beams or 1
        self.is_done = False
        self._config = config
        self._stopping = stopping
        self._prompts = prompts
        self._length_penalty = 1.0 if config.length_penalty is None else float(config.length_penalty)
        num_candidates = max(2, 1 + len(config.eos_token_ids)) * self.num_beams
        self._num_candidates = num_candidates
        self._fill = _fill_token(config)
        self._generators = row_generators(seed, prompts.num_rows) if config.do_sample else []
        self._running = self._empty_beams()
        self._running.scores[:, 0] = 0
        self._finished = self._empty_beams()
        # Whether a prompt's running beams can still beat its finished ones; (batch, 1).
        self._is_improvable = np.ones((prompts.num_rows, 1), dtype=bool)

    @property
    def history(self) -> TokenHistory:
        """Tokens of the running beams, (batch * beams) rows, as processors want them."""
        return self._history_of(self._running)

    def advance(self, log_probs: Scores, all_scores: tuple[Scores, ...] | None = None) -> BeamStep:
        """Take one step.

        Args:
            log_probs: (batch * beams, vocab) float32, processed log-probabilities of each running beam's next token.
            all_scores: those of every step so far, for criteria that want them.

        Raises:
            OptionError: when sampling, a prompt whose beams leave no token.
        """
        # remove_invalid_values gives banned tokens float32's least number, which two steps or a penalty take to -inf.
        with np.errstate(over="ignore"):
            candidates = self._candidates(log_probs)
            is_stopped = self._stopping(self._history_of(candidates), all_scores).reshape(candidates.scores.shape)
            self._finished = self._updated_finished(candidates, is_stopped)
            running = candidates.scores + _penalty(is_stopped)
            self._running = _Beams(candidates.tokens, candidates.indices, running, candidates.is_finished).best(
                self.num_beams
            )
            self._is_improvable &= self._can_improve()
        self.is_done = self._is_over(is_stopped)
        return BeamStep(self._running.tokens[:, :, -1].reshape(-1), self._running.indices[:, :, -1].reshape(-1))

    def finalize(self) -> BeamResult:
        """The ``num_return_sequences`` best finished beams of each prompt."""
        count = self._config.num_return_sequences or 1
        best = self._finished.select(np.tile(np.arange(count), (self._prompts.num_rows, 1)))
        indices = best.indices.reshape(-1, best.indices.shape[2])
        new_length = int((indices != -1).sum(axis=1).max(initial=0))
        tokens = best.tokens.reshape(-1, best.tokens.shape[2])[:, :new_length]
        prompts = np.repeat(self._prompts.ids, count, axis=0)
        return BeamResult(np.concatenate([prompts, tokens], axis=1), best.scores.reshape(-1), indices[:, :new_length])

    def _empty_beams(self) -> _Beams:
        shape = (self._prompts.num_rows, self.num_beams)
        nothing = np.empty((*shape, 0), dtype=np.int64)
        return _Beams(nothing, nothing, np.full(shape, _HOPELESS, dtype=np.float32), np.zeros(shape, dtype=bool))

    def _history_of(self, beams: _Beams) -> TokenHistory:
        batch, count, num_tokens = beams.tokens.shape
        prompts = self._prompts.expand(count)
        ids = np.concatenate([prompts.ids, beams.tokens.reshape(batch * count, num_tokens)], axis=1)
        return TokenHistory(ids, prompts.starts, prompt_length=self._prompts.length, batch_rows=prompts.batch_rows)

    def _candidates(self, log_probs: Scores) -> _Beams:
        """The best continuations of each prompt over all its beams, enough that ``num_beams`` of them have no end."""
        batch, vocab_size = self._prompts.num_rows, log_probs.shape[1]
        totals = log_probs.reshape(batch, self.num_beams, vocab_size) + self._running.scores[:, :, None]
        totals = totals.reshape(batch, -1)  # (batch, beams * vocab)
        count = min(self._num_candidates, totals.shape[1])
        chosen = self._sampled(totals, count) if self._config.do_sample else top_indices(totals, count)
        sources, tokens = chosen // vocab_size, chosen % vocab_size
        beams = self._running.select(sources)
        source_rows = sources + np.arange(batch)[:, None] * self.num_beams
        return _Beams(
            np.concatenate([beams.tokens, tokens[:, :, None]], axis=2),
            np.concatenate([beams.indices, source_rows[:, :, None]], axis=2),
            np.take_along_axis(totals, chosen, axis=1),
            np.zeros(chosen.shape, dtype=bool),
        )

    def _sampled(self, totals: Scores, count: int) -> NDArray[np.intp]:
        pairs = zip(totals, self._generators, strict=True)
        return np.stack([sample_without_replacement(row, count, generator) for row, generator in pairs])

    def _updated_finished(self, candidates: _Beams, is_stopped: NDArray[np.bool_]) -> _Beams:
        """Finished beams after this step: only the first ``num_beams`` candidates may join, and only while it helps."""
        num_tokens = candidates.tokens.shape[2]
        is_new = is_stopped & (np.arange(is_stopped.shape[1]) < self.num_beams)
        scores = candidates.scores / np.float32(num_tokens**self._length_penalty)
        if self._config.early_stopping is True:
            scores += _penalty(self._finished.is_finished.min(axis=1, keepdims=True))
        scores += _penalty(~self._is_improvable)
        scores += _penalty(~is_new)
        newcomers = _Beams(candidates.tokens, candidates.indices, scores, is_new)
        merged = self._finished.longer(self._fill).merged(newcomers)
        # Where scores are equal, a finished sequence goes before a place that nothing has taken yet.
        order = np.lexsort((~merged.is_finished, -merged.scores), axis=1)
        return merged.select(order[:, : self.num_beams])

    def _can_improve(self) -> NDArray[np.bool_]:
        """(batch, 1) whether the best running beam may still beat the worst finished one."""
        num_tokens = self._running.tokens.shape[2]
        if self._config.early_stopping == "never" and self._length_penalty > 0:
            num_tokens = (self._config.max_length or 0) - self._prompts.length
        best = self._running.scores[:, :1] / np.float32(num_tokens**self._length_penalty)
        worst = np.where(self._finished.is_finished, self._finished.scores.min(axis=1, keepdims=True), _HOPELESS)
        can_improve: NDArray[np.bool_] = best > worst.min(axis=1, keepdims=True)
        return can_improve

    def _is_over(self, is_stopped: NDArray[np.bool_]) -> bool:
        is_full = self._config.early_stopping is True and bool(self._finished.is_finished.all())
        return not self._is_improvable.any() or is_full or bool(is_stopped.all())


def top_indices(scores: Scores, count: int) -> NDArray[np.intp]:
    """(rows, count) columns of the highest scores of each row, highest first, the first of equals first."""
    return np.stack([highest_indices(row, count) for row in scores])


def sample_without_replacement(scores: Scores, count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """Draw ``count`` different columns, one after the other, with the probabilities softmax(scores) of what is left.

    The order of the draws is the order of the scores with Gumbel noise added (https://arxiv.org/abs/1903.06059). Where
    fewer columns have a probability over 0, the best of the others follow.

    Args:
        scores: (columns,) float32.
        count: at most as many as there are columns.
        generator: draws one number per column with a probability over 0.

    Raises:
        OptionError: no column has a finite score.
    """
    highest = scores.max()
    if not np.isfinite(highest):
        raise OptionError(
            f"A prompt's beams cannot be sampled: the highest score is {highest}. Relax what bans tokens."
        )
    relative = scores - highest
    possible = np.flatnonzero(relative > _LEAST_EXPONENT)
    noisy = relative[possible] + generator.gumbel(size=len(possible))
    drawn = possible[np.argsort(-noisy, kind="stable")[:count]]
    if len(drawn) == count:
        return drawn
    others = np.setdiff1d(np.arange(len(scores)), drawn)
    rest = others[np.argsort(-scores[others], kind="stable")[: count - len(drawn)]]
    return np.concatenate([drawn, rest])


def _penalty(is_out: NDArray[np.bool_]) -> Scores:
    """What takes candidates out of the running without leaving the numbers."""
    return np.where(is_out, _HOPELESS, np.float32(0))


def _arrays(beams: _Beams) -> tuple[NDArray[Any], ...]:
    return beams.tokens, beams.indices, beams.scores, beams.is_finished


def _fill_token(config: GenerationConfig) -> int:
    """What follows a finished beam. transformers takes a padding id of 0 for none, and so does this."""
    if not config.eos_token_ids:
        return _NO_FILL
    return config.pad_token_id or config.eos_token_ids[0]
