"""Music Flamingo: when each window of audio was heard, which the model finds by searching lists of places."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from .base import Method, Patch


def _timestamps(original: Method) -> Method:
    def build_audio_timestamps(
        self: Any, input_ids: torch.Tensor, post_lengths: torch.Tensor, max_post_length: int
    ) -> torch.Tensor:
        """Seconds at which each vector of each window begins, (windows, max_post_length) float32.

        Windows of one piece follow each other; a piece is a run of audio tokens in a row of input_ids (batch, length).
        """
        is_audio = (input_ids == self.config.audio_token_id).long()
        is_start = (is_audio - functional.pad(is_audio, (1, 0))[:, :-1]).clamp(min=0).flatten()
        order = is_audio.flatten().cumsum(0) - 1
        first = post_lengths.cumsum(0) - post_lengths  # (windows,) where each begins among all tokens of audio
        # (windows,) how many pieces have begun up to there
        piece = (is_start[None, :] * (order[None, :] <= first[:, None])).sum(dim=1)
        windows = torch.arange(post_lengths.shape[0])
        is_earlier = (piece[None, :] == piece[:, None]) & (windows[None, :] < windows[:, None])
        window = is_earlier.sum(dim=1)
        step = self.config.audio_frame_step * 4
        offsets = torch.arange(max_post_length, dtype=torch.float32) * step
        return window[:, None] * max_post_length * step + offsets

    return build_audio_timestamps


PATCHES = (Patch("musicflamingo.modeling_musicflamingo", "MusicFlamingoModel", "_build_audio_timestamps", _timestamps),)
