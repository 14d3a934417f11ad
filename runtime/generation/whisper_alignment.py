"""When each token was said, from what it attends to: dynamic time warping over Whisper's cross-attention.

Source: transformers 5.23, models/whisper/generation_whisper.py (`_extract_token_timestamps`, `_median_filter`,
`_dynamic_time_warping`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .config import GenerationConfig
from .history import TokenIds
from .seq2seq_cache import EncodedInputs
from .seq2seq_graphs import Seq2SeqGraphs
from .whisper_timestamps import INPUT_STRIDE

Weights = NDArray[np.float32]

_DIAGONAL, _UP, _LEFT = 0, 1, 2


@dataclass(frozen=True)
class TokenAligner:
    """Gives each token its time.

    Args:
        graphs: encoder and decoder.
        heads: (layer, head) of those that follow the audio, of the model's generation_config.json.
        filter_width: width of the median filter over time, odd.
        precision: seconds of one position of the encoder.
    """

    graphs: Seq2SeqGraphs
    heads: Sequence[tuple[int, int]]
    filter_width: int
    precision: float

    @classmethod
    def of(cls, graphs: Seq2SeqGraphs, config: GenerationConfig, filter_width: int, precision: float) -> TokenAligner:
        """The aligner of a model.

        Raises:
            OptionError: the model does not say which heads follow the audio, or its graph does not give their weights.
        """
        heads = config.extra.get("alignment_heads")
        if not heads:
            raise OptionError(
                "Times of tokens and words need alignment_heads in generation_config.json, which this model has not. "
                "Take return_timestamps=True for those of segments."
            )
        if not graphs.cross_attention_names:
            raise OptionError(
                "Times of tokens and words need a decoder that gives its cross_attentions; export the checkpoint again "
                "with `headway export`."
            )
        return cls(graphs, [(int(layer), int(head)) for layer, head in heads], filter_width, precision)

    def times(
        self, encoded: EncodedInputs, sequences: TokenIds, prompt_length: int, num_frames: Sequence[int] | None
    ) -> NDArray[np.float32]:
        """Seconds at which each token ends, (rows, tokens) float32; 0 for the prompt.

        Args:
            encoded: one input for each row.
            sequences: (rows, tokens) int64, prompt and end included; the last one is given the time before it.
            prompt_length: tokens of the prompt.
            num_frames: frames of audio of each row; None takes the window's.
        """
        times = np.zeros(sequences.shape, dtype=np.float32)
        if sequences.shape[1] - 1 <= prompt_length:
            return times
        attentions = self.graphs.cross_attentions(encoded, sequences[:, :-1])
        weights = np.stack([attentions[layer][:, head] for layer, head in self.heads], axis=1)
        for row, own in enumerate(weights[:, :, prompt_length:]):
            length = own.shape[-1] if num_frames is None else int(num_frames[row]) // INPUT_STRIDE
            jumps = _jump_positions(-self._smoothed(own[..., :length]).astype(np.float64))
            times[row, prompt_length:-1] = jumps * self.precision
            times[row, -1] = times[row, -2]
        return times

    def _smoothed(self, weights: Weights) -> Weights:
        """Mean over the heads of (heads, tokens, positions), each position made comparable over the tokens."""
        deviation = weights.std(axis=-2, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            scaled = (weights - weights.mean(axis=-2, keepdims=True)) / deviation
        mean: Weights = _median_filtered(scaled, self.filter_width).mean(axis=0)
        return mean


def _median_filtered(values: Weights, width: int) -> Weights:
    """The median of ``width`` neighbours along the last axis, reflected at its ends."""
    side = width // 2
    if values.shape[-1] <= side:
        return values
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(side, side)], mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=-1)
    filtered: Weights = np.sort(windows, axis=-1)[..., side]
    return filtered


def _jump_positions(matrix: NDArray[np.float64]) -> NDArray[np.int64]:
    """Position at which the cheapest path enters each token.

    Args:
        matrix: (tokens, positions), what it costs that a token is said at a position.
    """
    trace = _cheapest_steps(matrix)
    token, position = matrix.shape
    entered = np.zeros(token, dtype=np.int64)
    trace[0, :], trace[:, 0] = _LEFT, _UP
    while token > 0 or position > 0:
        if token > 0:
            # The last one written is where the path enters the token.
            entered[token - 1] = position - 1
        step = trace[token, position]
        token -= int(step != _LEFT)
        position -= int(step != _UP)
    return entered


def _cheapest_steps(matrix: NDArray[np.float64]) -> NDArray[np.int8]:
    """(tokens + 1, positions + 1): which neighbour each cell is reached from, diagonal by diagonal."""
    num_tokens, num_positions = matrix.shape
    cost = np.full((num_tokens + 1, num_positions + 1), np.inf, dtype=np.float32)
    trace = np.full(cost.shape, _LEFT, dtype=np.int8)
    cost[0, 0] = 0
    for diagonal in range(2, num_tokens + num_positions + 1):
        rows = np.arange(max(1, diagonal - num_positions), min(num_tokens, diagonal - 1) + 1)
        columns = diagonal - rows
        across, above, before = cost[rows - 1, columns - 1], cost[rows - 1, columns], cost[rows, columns - 1]
        is_across = (across < above) & (across < before)
        is_above = ~is_across & (above < across) & (above < before)
        least = np.where(is_across, across, np.where(is_above, above, before))
        cost[rows, columns] = matrix[rows - 1, columns - 1] + least
        trace[rows, columns] = np.where(is_across, _DIAGONAL, np.where(is_above, _UP, _LEFT))
    return trace
