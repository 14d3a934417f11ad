"""A decoder graph in which vectors of audio take the place of some tokens."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..session import Session
from .cache import SharedBufferCache
from .decoder import Decoder, _Feeds
from .history import Scores, TokenIds

AUDIO_FEATURES = "audio_features"
AUDIO_TOKEN_KEY = "headway.audio_token_id"
"""Metadata of a graph that hears: the token that a vector of audio takes the place of."""

Features = NDArray[np.floating]


def is_hearing_graph(session: Session) -> bool:
    """Whether a decoder graph takes vectors of audio."""
    return AUDIO_FEATURES in session.input_names


@dataclass
class _HearingFeeds(_Feeds):
    audio_features: Features = field(default_factory=lambda: np.zeros((0, 0), np.float32))  # (tokens of audio, hidden)


class HearingDecoder(Decoder):
    """Runs a shared-buffer graph that hears; see :class:`.decoder.Decoder`.

    Without :meth:`listening_to` it reads texts, and tokens of audio have their own embeddings.
    """

    def __init__(self, session: Session, max_positions: int | None = None) -> None:
        super().__init__(session, max_positions)
        spec = next(spec for spec in session.inputs if spec.name == AUDIO_FEATURES)
        self._nothing: Features = np.zeros((0, int(spec.shape[1])), np.dtype(spec.dtype))
        self.audio_token_id = int(session.ort_session.get_modelmeta().custom_metadata_map[AUDIO_TOKEN_KEY])
        self._waiting: list[Features] = []
        self._rows: Sequence[int] = ()
        self._heard = self._nothing

    def listening_to(self, features: Features, prompts: Sequence[TokenIds]) -> Self:
        """This decoder for one call: it hears ``features`` where the prompts have tokens of audio.

        Args:
            features: (tokens of audio, hidden), row by row.
            prompts: (tokens,) int64 of each row.

        Raises:
            InputError: there are more or fewer tokens of audio than vectors.
        """
        counts = [int((prompt == self.audio_token_id).sum()) for prompt in prompts]
        if sum(counts) != len(features):
            raise InputError(
                f"input_ids holds {sum(counts)} tokens of audio (id {self.audio_token_id}), and the audio is "
                f"{len(features)} tokens long. Repeat the token for each, as the model's processor does."
            )
        listening = copy.copy(self)
        listening._waiting = np.split(features.astype(self._nothing.dtype, copy=False), np.cumsum(counts)[:-1])
        return listening

    def extend_row(self, cache: SharedBufferCache, row: int, tokens: TokenIds, num_logits: int = 1) -> Scores:
        """Append tokens to one row, in chunks; see :meth:`.decoder.Decoder.extend_row`."""
        self._rows = (row,)
        return super().extend_row(cache, row, tokens, num_logits)

    def _prefill_together(
        self, cache: SharedBufferCache, rows: Sequence[TokenIds], *, all_logits: bool = False
    ) -> Scores:
        self._rows = range(len(rows))
        return super()._prefill_together(cache, rows, all_logits=all_logits)

    def _run_block(self, cache: SharedBufferCache, block: TokenIds, *args: Any, **kwargs: Any) -> Scores:
        self._heard = self._take(block)
        try:
            return super()._run_block(cache, block, *args, **kwargs)
        finally:
            self._heard = self._nothing

    def _take(self, block: TokenIds) -> Features:
        """What the tokens of audio in (rows, tokens) ids stand for; it is not heard again."""
        if not self._waiting:
            return self._nothing
        taken = []
        for row, ids in zip(self._rows, block, strict=True):
            count = int((ids == self.audio_token_id).sum())
            taken.append(self._waiting[row][:count])
            self._waiting[row] = self._waiting[row][count:]
        return np.concatenate(taken)

    def _feeds(self, rows: int, tokens: int, num_logits: int) -> _Feeds:
        return _HearingFeeds(**vars(super()._feeds(rows, tokens, num_logits)), audio_features=self._heard)
