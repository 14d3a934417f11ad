"""Whether what Whisper wrote for a window is to be trusted: repetition, probability, and silence.

Source: transformers 5.23, models/whisper/generation_whisper.py (`_need_fallback` and what it calls).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..numerics import log_softmax, softmax
from .history import Scores, TokenIds
from .seq2seq_cache import EncodedInputs
from .seq2seq_graphs import Seq2SeqGraphs


@dataclass(frozen=True)
class Thresholds:
    """When a window is written again at the next temperature, or skipped; None checks nothing.

    Args:
        compression_ratio: most that the tokens may compress.
        logprob: least mean log-probability.
        no_speech: probability of silence from which a window that fails ``logprob`` is skipped.
    """

    compression_ratio: float | None = None
    logprob: float | None = None
    no_speech: float | None = None

    @property
    def needs_scores(self) -> bool:
        """Whether the scores of every step are needed."""
        return self.logprob is not None or self.no_speech is not None

    def judge(
        self, tokens: TokenIds, mean_logprob: float | None, silence: float | None, vocab_size: int
    ) -> tuple[bool, bool]:
        """Whether a window is to be written again, and whether it is to be skipped.

        Args:
            tokens: (tokens,) int64 that were written, the end included.
            mean_logprob: of :func:`mean_logprob`, where it is needed.
            silence: of :func:`silence_probabilities`, where it is needed.
        """
        fails = self.compression_ratio is not None and compression_ratio(tokens, vocab_size) > self.compression_ratio
        is_unlikely = self.logprob is not None and mean_logprob is not None and mean_logprob < self.logprob
        if self.no_speech is not None and silence is not None and is_unlikely and silence > self.no_speech:
            return False, True
        return fails or is_unlikely, False


def compression_ratio(tokens: TokenIds, vocab_size: int) -> float:
    """Bytes of the token ids by bytes of the same compressed: high where they repeat themselves."""
    width = int(math.log2(vocab_size) / 8) + 1
    content = b"".join(int(token).to_bytes(width, "little") for token in tokens)
    return len(content) / len(zlib.compress(content))


def mean_logprob(scores: Sequence[Scores], tokens: TokenIds, temperature: float | None) -> float:
    """Mean log-probability of the tokens.

    Args:
        scores: (vocab,) float32 for each step.
        tokens: (tokens,) int64, the end included.
        temperature: that the scores were divided by.
    """
    steps = np.stack(scores)[: len(tokens)]
    tokens = tokens[-len(steps) :]
    logprobs = log_softmax(steps * np.float32(temperature if temperature else 1.0))
    return float(logprobs[np.arange(len(tokens)), tokens].sum() / len(tokens))


def silence_probabilities(
    graphs: Seq2SeqGraphs, encoded: EncodedInputs, prompts: TokenIds, start_position: int, token: int
) -> Scores:
    """(rows,) float32: how probable the token for "no speech" is after the start of the transcript.

    Args:
        prompts: (rows, tokens) int64 of the decoder.
        start_position: where the start token stands in them.
        token: id of "no speech".
    """
    logits = graphs.run(graphs.new_cache(encoded), prompts[:, : start_position + 1])[:, -1]
    probabilities: Scores = softmax(logits)[:, token]
    return probabilities
