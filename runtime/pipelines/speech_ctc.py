"""Speech recognition with a CTC head: a token for each frame, chunks joined frame by frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..audio.chunks import Chunk, Chunking, frames_kept
from ..audio.ctc import CtcDecoder
from ..audio.feature_extractor import FeatureExtractor
from ..audio.waveforms import Waveform
from ..errors import OptionError
from ..models import Model
from ..tokenization.tokenizer import Tokenizer
from .feature_batches import in_order, run_rows
from .progress import Progress
from .speech_options import SpeechOptions


class CtcRecognizer:
    """Waveforms to text.

    Args:
        model: a CTC head.
        feature_extractor: that belongs to it.
        tokenizer: likewise.
    """

    def __init__(self, model: Model, feature_extractor: FeatureExtractor, tokenizer: Tokenizer) -> None:
        self.model = model
        self.feature_extractor = feature_extractor
        self.decoder = CtcDecoder(tokenizer)
        self.samples_per_frame = _samples_per_frame(model)

    def check(self, options: SpeechOptions) -> None:
        """Raise OptionError where the options ask for what a CTC head cannot give."""
        if options.return_timestamps and options.return_timestamps not in ("char", "word"):
            raise OptionError(
                f"return_timestamps is {options.return_timestamps!r}; a CTC model gives 'char' or 'word'."
            )
        if options.return_timestamps and not self.decoder.has_words:
            raise OptionError(
                "return_timestamps needs a vocabulary of characters with a word_delimiter_token; this one has none."
            )
        if options.return_language:
            raise OptionError("return_language is Whisper's; a CTC model does not tell languages. Leave it out.")
        if options.generate:
            raise OptionError(f"{', '.join(options.generate)}: a CTC model does not generate. Leave it out.")

    def __call__(
        self, waveforms: Sequence[Waveform], options: SpeechOptions, progress: Progress
    ) -> list[dict[str, Any]]:
        """``{"text"}`` of each waveform, with ``chunks`` where timestamps are wanted."""
        cut = [self._cut(waveform, options) for waveform in waveforms]
        chunks = [chunk for pieces in cut for chunk in pieces]
        rate = self.feature_extractor.sampling_rate
        rows = []
        for chunk in chunks:
            features = self.feature_extractor(chunk.waveform, sampling_rate=rate, return_attention_mask=True)
            declared = {spec.name for spec in self.model.session.inputs}
            rows.append({name: np.asarray(values[0]) for name, values in features.items() if name in declared})
        logits = in_order(run_rows(self.model, rows, ["logits"], options.batch_size, progress), len(rows))
        ids = iter([values.argmax(axis=-1) for values in logits])
        return [self._result(pieces, [next(ids) for _ in pieces], options) for pieces in cut]

    def _cut(self, waveform: Waveform, options: SpeechOptions) -> list[Chunk]:
        if not options.chunk_length_s:
            return [Chunk(waveform)]
        rate = self.feature_extractor.sampling_rate
        return Chunking.of(options.chunk_length_s, options.stride_length_s, rate, self.samples_per_frame).cut(waveform)

    def _result(self, chunks: Sequence[Chunk], ids: Sequence[Any], options: SpeechOptions) -> dict[str, Any]:
        if options.chunk_length_s:
            kept = [frames_kept(chunk.stride, self.samples_per_frame) for chunk in chunks]
            ids = [row[frames] for row, frames in zip(ids, kept, strict=True)]
        frames = np.concatenate(ids).tolist()
        result: dict[str, Any] = {"text": self.decoder.text(frames)}
        if options.return_timestamps:
            by_word = options.return_timestamps == "word"
            pieces = self.decoder.words(frames) if by_word else self.decoder.characters(frames)
            result["chunks"] = [
                {"text": piece.text, "timestamp": (self._seconds(piece.start), self._seconds(piece.end))}
                for piece in pieces
            ]
        return result

    def _seconds(self, frame: int) -> float:
        return frame * self.samples_per_frame / self.feature_extractor.sampling_rate


def _samples_per_frame(model: Model) -> int:
    """Samples of one frame of the logits.

    Source: ``inputs_to_logits_ratio`` of transformers' configurations.
    """
    config = model.config
    stated = config.get("inputs_to_logits_ratio")
    if isinstance(stated, int):
        return stated
    if config.get("model_type") == "wav2vec2-bert":
        adapters = int(config.get("num_adapter_layers") or 0) if config.get("add_adapter") else 0
        stride = int(config.get("adapter_stride") or 1)
        return int(config.get("feature_projection_input_dim") or 160) * 2 * int(stride**adapters)
    strides = config.get("conv_stride")
    return math.prod(strides) if isinstance(strides, list) else 1
