"""The generation loop: from prompts to sequences, whatever network gives the logits.

    prefill → process → choose → append → stop? → decode → …

Greedy search, sampling, beam search and prompt lookup are siblings; each takes a :class:`Generation` and a network and
gives a :class:`Generated`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..numerics import log_softmax
from .beam import BeamSearch
from .config import GenerationConfig
from .history import Scores, TokenHistory, TokenIds
from .logits import LogitsPipeline
from .protocol import NextTokenLogits
from .sampler import Sampler, make_sampler
from .stopping import StoppingCriteria


@dataclass
class Generation:
    """One call of generate(), made ready: everything the loop reads.

    Args:
        prompts: one row per prompt.
        config: with lengths resolved.
        processors: from logits to scores.
        stopping: when a row is done.
        streamer: gets the prompt and then each token; None for none.
        may_drop_rows: whether rows that are done may leave the network, the processors and the criteria; not where a
            caller sees every row, by functions of their own or in what is returned.
    """

    prompts: TokenHistory
    config: GenerationConfig
    processors: LogitsPipeline
    stopping: StoppingCriteria
    streamer: Any = None
    may_drop_rows: bool = True

    @property
    def num_return_sequences(self) -> int:
        """Sequences per prompt."""
        return self.config.num_return_sequences or 1

    @property
    def fill_token_id(self) -> int:
        """What follows the end of a row."""
        return self.config.fill_token_id or 0


@dataclass
class Generated:
    """What came out.

    Args:
        new_ids: (rows, new tokens) int64, filled up behind the end of each row.
        scores: processed scores of each step, (rows, vocab) float32, where they were asked for.
        logits: raw logits of each step, likewise.
        sequences_scores: (rows,) float32 of a beam search.
        beam_indices: (rows, new tokens) int64 of a beam search.
    """

    new_ids: TokenIds
    scores: tuple[Scores, ...] | None = None
    logits: tuple[Scores, ...] | None = None
    sequences_scores: Scores | None = None
    beam_indices: TokenIds | None = None


def run_generation(network: NextTokenLogits, generation: Generation) -> Generated:
    """Generate with the method that the configuration asks for.

    Raises:
        OptionError: the scores leave no token to choose, or a beam search is to be streamed.
    """
    if generation.streamer is not None and (generation.config.num_beams or 1) > 1:
        raise OptionError("A beam search knows its tokens only at the end: leave streamer out, or use num_beams=1.")
    generated = _method(generation.config)(network, generation)
    if generation.streamer is not None:
        generation.streamer.end()
    return generated


def generate_stepwise(network: NextTokenLogits, generation: Generation) -> Generated:
    """Greedy search or sampling, one token per row and step."""
    rows = _Rows(generation)
    recorder = Recorder(generation.config)
    sampler = row_sampler(generation)
    stream_prompt(generation)
    logits = network.prefill(generation.prompts)
    if generation.num_return_sequences > 1:
        repeated = np.repeat(np.arange(generation.prompts.num_rows), generation.num_return_sequences)
        network.reorder(repeated)
        logits = logits[repeated]
    while True:
        scores = generation.processors(rows.history, logits)
        recorder.record(scores, logits)
        rows.append(sampler(scores, rows.indices))
        if generation.streamer is not None:
            generation.streamer.put(rows.newest)
        rows.mark_done(generation.stopping(rows.history, recorder.scores))
        if rows.all_done:
            return Generated(rows.new_ids, recorder.scores, recorder.logits)
        kept = rows.drop_done()
        if kept is not None:
            network.reorder(kept)
        logits = network.decode(rows.history.last_tokens)


def generate_beams(network: NextTokenLogits, generation: Generation) -> Generated:
    """Beam search or beam sampling."""
    config = generation.config
    search = BeamSearch(generation.prompts, config, generation.stopping, seed=config.seed)
    recorder = Recorder(config)
    stream_prompt(generation)
    logits = network.prefill(generation.prompts)
    repeated = np.repeat(np.arange(generation.prompts.num_rows), search.num_beams)
    network.reorder(repeated)
    logits = logits[repeated]
    while True:
        scores = generation.processors(search.history, log_softmax(logits))
        recorder.record(scores, logits)
        step = search.advance(scores, recorder.scores)
        if search.is_done:
            break
        network.reorder(step.source_rows)
        logits = network.decode(step.tokens)
    result = search.finalize()
    return Generated(
        new_ids=result.sequences[:, generation.prompts.length :],
        scores=recorder.scores,
        logits=recorder.logits,
        sequences_scores=result.sequences_scores,
        beam_indices=result.beam_indices,
    )


def row_sampler(generation: Generation) -> Sampler:
    """The sampler of all rows, returned sequences included."""
    num_rows = generation.prompts.num_rows * generation.num_return_sequences
    return make_sampler(generation.config, generation.config.seed, num_rows=num_rows)


def stream_prompt(generation: Generation) -> None:
    """Give the streamer the prompt, as transformers does before the first token."""
    if generation.streamer is not None:
        generation.streamer.put(generation.prompts.ids)


@dataclass
class Recorder:
    """Keeps scores and logits of each step, where the configuration asks for them."""

    config: GenerationConfig
    _scores: list[Scores] = field(default_factory=list)
    _logits: list[Scores] = field(default_factory=list)

    @property
    def _is_asked(self) -> bool:
        return bool(self.config.return_dict_in_generate)

    @property
    def scores(self) -> tuple[Scores, ...] | None:
        """Processed scores of every step so far, or None."""
        return tuple(self._scores) if self._is_asked and self.config.output_scores else None

    @property
    def logits(self) -> tuple[Scores, ...] | None:
        """Raw logits of every step so far, or None."""
        return tuple(self._logits) if self._is_asked and self.config.output_logits else None

    def record(self, scores: Scores, logits: Scores) -> None:
        """Keep copies: the network writes its next logits over these."""
        if self._is_asked and self.config.output_scores:
            self._scores.append(scores.copy())
        if self._is_asked and self.config.output_logits:
            self._logits.append(logits.copy())


class _Rows:
    """The rows of a generation: which still run, and what each has produced."""

    def __init__(self, generation: Generation) -> None:
        prompts, repeats = generation.prompts, generation.num_return_sequences
        self.history = prompts.expand(repeats) if repeats > 1 else prompts.select(np.arange(prompts.num_rows))
        self.indices = np.arange(self.history.num_rows)
        self._done = np.zeros(self.history.num_rows, dtype=bool)
        self._fill = generation.fill_token_id
        self._may_drop = generation.may_drop_rows
        self._columns: list[TokenIds] = []
        self._num_rows = self.history.num_rows

    @property
    def all_done(self) -> bool:
        """Whether no row runs any more."""
        return bool(self._done.all())

    @property
    def newest(self) -> TokenIds:
        """(rows,) int64: the last column, of all rows."""
        return self._columns[-1]

    @property
    def new_ids(self) -> TokenIds:
        """(rows, new tokens) int64."""
        return np.stack(self._columns, axis=1)

    def append(self, tokens: TokenIds) -> None:
        """Add each running row's next token; rows that are done get the fill token."""
        if self._done.any():
            tokens = np.where(self._done, self._fill, tokens)
        self.history.append(tokens)
        column = np.full(self._num_rows, self._fill, dtype=np.int64)
        column[self.indices] = tokens
        self._columns.append(column)

    def mark_done(self, is_done: NDArray[np.bool_]) -> None:
        """Rows that are done stay so."""
        self._done |= is_done

    def drop_done(self) -> NDArray[np.intp] | None:
        """Let go of the rows that are done once they are half of all; the positions that stay, or None."""
        num_done = int(self._done.sum())
        if not self._may_drop or num_done * 2 < len(self._done) or num_done == 0:
            return None
        kept = np.flatnonzero(~self._done)
        self.history = self.history.select(kept)
        self.indices, self._done = self.indices[kept], self._done[kept]
        return kept


Method = Callable[[NextTokenLogits, Generation], Generated]


def _method(config: GenerationConfig) -> Method:
    if (config.num_beams or 1) > 1:
        return generate_beams
    if config.prompt_lookup_num_tokens is not None:
        from .lookup_loop import generate_with_lookup

        return generate_with_lookup
    return generate_stepwise
