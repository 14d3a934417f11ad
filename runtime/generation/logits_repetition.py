"""Processors that look back: penalties and bans for what was already said, and biases on sequences of tokens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .config import GenerationConfig
from .history import Scores, TokenHistory, TokenIds


class RepetitionPenalty:
    """Divides the positive scores of tokens that a row already holds by ``penalty``, and multiplies the negative ones.

    transformers: RepetitionPenaltyLogitsProcessor (https://arxiv.org/abs/1909.05858).
    """

    def __init__(self, penalty: float) -> None:
        self.penalty = penalty

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Penalise each row's own tokens, prompt included."""
        rows, tokens = history.own_tokens(scores.shape[1])
        _penalize(scores, rows, tokens, self.penalty)
        return scores


class EncoderRepetitionPenalty:
    """Favours tokens of the encoder's input (or of a decoder's prompt): the inverse penalty.

    transformers: EncoderRepetitionPenaltyLogitsProcessor.
    """

    def __init__(self, penalty: float, encoder: TokenHistory) -> None:
        self.penalty = 1 / penalty
        self._encoder = encoder

    @classmethod
    def for_encoder(cls, config: GenerationConfig, encoder: TokenHistory | None) -> EncoderRepetitionPenalty:
        """The processor, or an OptionError where the model's input is no tokens (sound, images)."""
        return cls(config.encoder_repetition_penalty or 1.0, _need_tokens(encoder, "encoder_repetition_penalty"))

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Apply to each row the penalty of the prompt it belongs to."""
        rows, tokens = self._encoder.select(history.batch_rows).own_tokens(scores.shape[1])
        _penalize(scores, rows, tokens, self.penalty)
        return scores


class NoRepeatNGrams:
    """Bans a token that would complete an n-gram the row already holds.

    transformers: NoRepeatNGramLogitsProcessor.
    """

    def __init__(self, ngram_size: int) -> None:
        self.ngram_size = ngram_size

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Compare every window of n tokens with each row's last n - 1."""
        size, ids = self.ngram_size, history.ids
        num_windows = history.length - size + 1
        if num_windows <= 0:
            return scores
        matches = np.arange(num_windows) >= history.starts[:, None]  # (rows, windows)
        for offset in range(size - 1):
            wanted = ids[:, history.length - size + 1 + offset]
            matches &= ids[:, offset : offset + num_windows] == wanted[:, None]
        rows, windows = np.nonzero(matches)
        banned = ids[rows, windows + size - 1]
        _ban(scores, rows, banned)
        return scores


class EncoderNoRepeatNGrams:
    """Bans a token that would complete an n-gram of the encoder's input (or of a decoder's prompt).

    transformers: EncoderNoRepeatNGramLogitsProcessor.
    """

    def __init__(self, ngram_size: int, encoder: TokenHistory) -> None:
        self.ngram_size = ngram_size
        self._followers = [_followers(encoder.row(row).tolist(), ngram_size) for row in range(encoder.num_rows)]

    @classmethod
    def for_encoder(cls, config: GenerationConfig, encoder: TokenHistory | None) -> EncoderNoRepeatNGrams:
        """The processor, or an OptionError where the model's input is no tokens (sound, images)."""
        return cls(config.encoder_no_repeat_ngram_size or 0, _need_tokens(encoder, "encoder_no_repeat_ngram_size"))

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Look up each row's last n - 1 tokens."""
        for row, batch_row in enumerate(history.batch_rows.tolist()):
            tokens = history.row(row)
            prefix = tuple(tokens[len(tokens) - self.ngram_size + 1 :].tolist()) if self.ngram_size > 1 else ()
            banned = np.array(self._followers[batch_row].get(prefix, ()), dtype=np.int64)
            _ban(scores, np.full(len(banned), row), banned)
        return scores


class SequenceBias:
    """Adds a bias to the token that would complete a sequence.

    transformers: SequenceBiasLogitsProcessor.
    """

    def __init__(self, biases: Mapping[tuple[int, ...], float]) -> None:
        """Group the sequences by length, so that each group is matched at once.

        Args:
            biases: sequence of token ids → what to add, possibly -inf.
        """
        self._highest_id = max(max(sequence) for sequence in biases)
        self._single = {sequence[0]: bias for sequence, bias in biases.items() if len(sequence) == 1}
        groups: dict[int, list[tuple[tuple[int, ...], float]]] = defaultdict(list)
        for sequence, bias in biases.items():
            if len(sequence) > 1:
                groups[len(sequence)].append((sequence, bias))
        self._groups = [_SequenceGroup(group) for group in groups.values()]

    @classmethod
    def from_option(cls, option: Any) -> SequenceBias:
        """The processor for ``{(ids): bias}`` or ``[[[ids], bias], …]``."""
        pairs = option.items() if isinstance(option, Mapping) else option
        return cls({tuple(sequence): float(bias) for sequence, bias in pairs})

    def __call__(self, history: TokenHistory, scores: Scores) -> Scores:
        """Add the biases of all single tokens, and of the sequences that each row is about to complete."""
        if self._highest_id >= scores.shape[1]:
            raise OptionError(
                f"sequence_bias or bad_words_ids holds token {self._highest_id}; the model's vocabulary ends at "
                f"{scores.shape[1] - 1}."
            )
        bias = np.zeros_like(scores)
        bias[:, list(self._single)] = np.fromiter(self._single.values(), dtype=np.float32)
        for group in self._groups:
            group.add_matches(history, bias)
        scores += bias
        return scores


class _SequenceGroup:
    def __init__(self, group: Sequence[tuple[tuple[int, ...], float]]) -> None:
        sequences = np.array([sequence for sequence, _ in group], dtype=np.int64)
        self._prefixes, self._last = sequences[:, :-1], sequences[:, -1]
        self._biases = np.array([bias for _, bias in group], dtype=np.float32)

    def add_matches(self, history: TokenHistory, bias: Scores) -> None:
        length = self._prefixes.shape[1]
        if length > history.length:
            return
        ends = history.ids[:, None, -length:]  # (rows, 1, prefix)
        matches = (ends == self._prefixes).all(axis=2) & (history.lengths[:, None] >= length)
        rows, sequences = np.nonzero(matches)
        np.add.at(bias, (rows, self._last[sequences]), self._biases[sequences])


def bad_words_bias(bad_words_ids: Iterable[Sequence[int]], eos_token_ids: Iterable[int]) -> SequenceBias | None:
    """The bias of -inf that bans sequences; an end-of-sequence id alone is not banned.

    transformers: NoBadWordsLogitsProcessor.
    """
    ends = {(token,) for token in eos_token_ids}
    banned = {tuple(word): -np.inf for word in bad_words_ids if tuple(word) not in ends}
    return SequenceBias(banned) if banned else None


def _penalize(scores: Scores, rows: NDArray[np.intp], tokens: TokenIds, penalty: float) -> None:
    before = scores[rows, tokens]
    scores[rows, tokens] = np.where(before < 0, before * penalty, before / penalty)


def _ban(scores: Scores, rows: NDArray[np.intp], tokens: TokenIds) -> None:
    inside = tokens < scores.shape[1]
    scores[rows[inside], tokens[inside]] = -np.inf


def _followers(tokens: list[int], ngram_size: int) -> dict[tuple[int, ...], list[int]]:
    """First n - 1 tokens of every n-gram → the tokens that follow them."""
    followers: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for start in range(len(tokens) - ngram_size + 1):
        *prefix, last = tokens[start : start + ngram_size]
        followers[tuple(prefix)].append(last)
    return dict(followers)


def _need_tokens(encoder: TokenHistory | None, option: str) -> TokenHistory:
    if encoder is None:
        raise OptionError(f"{option} needs a model whose input is token ids; leave it out.")
    return encoder
