"""Speech recognition with an encoder-decoder: chunks written one by one, and joined by their tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio.chunks import Chunk, Chunking
from ..audio.feature_extractor import FeatureExtractor
from ..audio.merging import append_overlapping
from ..audio.waveforms import Waveform
from ..audio.whisper_text import WhisperOutput, WhisperTranscript
from ..errors import OptionError
from ..generation.config import GenerationConfig
from ..generation.seq2seq_speech import AutoModelForSpeechSeq2Seq
from ..tokenization.tokenizer import Tokenizer
from .progress import Progress
from .speech_options import SpeechOptions

# What transformers' pipeline takes where neither the caller nor the model says.
_DEFAULTS: Mapping[str, Any] = {"num_beams": 5, "max_new_tokens": 256}
_BATCH_SIZE = 4

Array = NDArray[Any]


class GeneratingRecognizer:
    """Waveforms to text, with any encoder-decoder that listens.

    Args:
        model: the encoder-decoder.
        feature_extractor: that belongs to it.
        tokenizer: likewise.
    """

    def __init__(
        self, model: AutoModelForSpeechSeq2Seq, feature_extractor: FeatureExtractor, tokenizer: Tokenizer
    ) -> None:
        self.model = model
        self.feature_extractor = feature_extractor
        self.tokenizer = tokenizer

    def check(self, options: SpeechOptions) -> None:
        """Raise OptionError where the options ask for what the model cannot give."""
        if options.return_timestamps:
            raise OptionError(
                f"return_timestamps={options.return_timestamps!r}: of models that generate, only Whisper gives them."
            )
        if options.return_language:
            raise OptionError("return_language is Whisper's; this model does not tell languages. Leave it out.")

    def __call__(
        self, waveforms: Sequence[Waveform], options: SpeechOptions, progress: Progress
    ) -> list[dict[str, Any]]:
        """``{"text"}`` of each waveform."""
        results = []
        for waveform in waveforms:
            chunks = self.cut(waveform, options)
            written = [self._write(chunk, options) for chunk in chunks]
            special = set(self.tokenizer.all_special_ids)
            if options.chunk_length_s:
                ids = append_overlapping([[token for token in row if token not in special] for row in written])
            else:
                ids = written[0]
            results.append({"text": self.tokenizer.decode(ids, skip_special_tokens=True)})
            progress.advance(1)
        return results

    def cut(self, waveform: Waveform, options: SpeechOptions) -> list[Chunk]:
        """The chunks of a waveform; itself where none are asked for."""
        if not options.chunk_length_s:
            return [Chunk(waveform)]
        chunking = Chunking.of(options.chunk_length_s, options.stride_length_s, self.feature_extractor.sampling_rate)
        return chunking.cut(waveform)

    def arguments(self, options: SpeechOptions) -> dict[str, Any]:
        """What goes to ``generate()`` beside the features."""
        given = dict(options.generate)
        own = given.get("generation_config") or GenerationConfig()
        set_by = {**self.model.generation_config.to_diff_dict(), **own.to_diff_dict(), **given}
        defaults = {**_DEFAULTS, "pad_token_id": self.tokenizer.pad_token_id}
        if set_by.get("max_length") is not None:
            defaults.pop("max_new_tokens")
        added = {name: value for name, value in defaults.items() if set_by.get(name) is None and value is not None}
        return {**added, **given}

    def _write(self, chunk: Chunk, options: SpeechOptions) -> list[int]:
        features = self.feature_extractor(
            chunk.waveform,
            sampling_rate=self.feature_extractor.sampling_rate,
            return_attention_mask=True,
            return_tensors="np",
        )
        sequences = self.model.generate(
            features[self.feature_extractor.main_input],
            attention_mask=features.get("attention_mask"),
            **self.arguments(options),
        )
        ids: list[int] = np.asarray(sequences)[0].tolist()
        return ids


class WhisperRecognizer(GeneratingRecognizer):
    """Waveforms to text with Whisper: windows that follow the timestamps, or chunks that overlap."""

    def check(self, options: SpeechOptions) -> None:
        """Raise OptionError where the options ask for what Whisper cannot give."""
        if options.return_timestamps == "char":
            raise OptionError("return_timestamps is 'char'; Whisper gives True for segments, or 'word'.")

    def __call__(
        self, waveforms: Sequence[Waveform], options: SpeechOptions, progress: Progress
    ) -> list[dict[str, Any]]:
        """``{"text"}`` of each waveform, with ``chunks`` where timestamps or languages are wanted."""
        cut = [self.cut(waveform, options) for waveform in waveforms]
        outputs = iter(self._outputs([chunk for chunks in cut for chunk in chunks], options, progress))
        results = []
        for chunks in cut:
            transcript = self._transcript(options)
            for _ in chunks:
                transcript.add(next(outputs))
            results.append(transcript.result())
        return results

    def _outputs(self, chunks: Sequence[Chunk], options: SpeechOptions, progress: Progress) -> list[WhisperOutput]:
        """What was written for each chunk; those that fit into one window share batches."""
        outputs: list[WhisperOutput | None] = [None] * len(chunks)
        window = int(self.feature_extractor.n_samples)
        short = [index for index, chunk in enumerate(chunks) if len(chunk.waveform) <= window]
        # Rows of a batch that end early would lend their filling to the alignment of words.
        size = 1 if options.return_timestamps == "word" else options.batch_size or _BATCH_SIZE
        batches = [short[start : start + size] for start in range(0, len(short), size)]
        batches += [[index] for index, chunk in enumerate(chunks) if len(chunk.waveform) > window]
        for batch in batches:
            is_long = len(chunks[batch[0]].waveform) > window
            written = self._write_batch([chunks[index] for index in batch], is_long, options)
            for index, output in zip(batch, written, strict=True):
                outputs[index] = output
            progress.advance(len(batch))
        return [output for output in outputs if output is not None]

    def _write_batch(self, chunks: Sequence[Chunk], is_long: bool, options: SpeechOptions) -> list[WhisperOutput]:
        padding: dict[str, Any] = {"truncation": False, "padding": "longest"} if is_long else {}
        rate = self.feature_extractor.sampling_rate
        features = self.feature_extractor(
            [chunk.waveform for chunk in chunks],
            sampling_rate=rate,
            return_attention_mask=True,
            return_tensors="np",
            **padding,
        )
        arguments = {**self.arguments(options), **self._timing(options), "return_segments": True}
        answer = self.model.generate(features["input_features"], attention_mask=features["attention_mask"], **arguments)
        outputs = []
        for chunk, segments in zip(chunks, answer["segments"], strict=True):
            tokens = [token for segment in segments for token in segment["tokens"].tolist()]
            times = None
            if options.return_timestamps == "word":
                times = [float(time) for segment in segments for time in segment["token_timestamps"]]
            if options.return_language and segments:
                language = self._language_token(segments[0]["result"])
                tokens = [*language, *tokens]
                times = None if times is None else [*([0.0] * len(language)), *times]
            seconds = tuple(samples / rate for samples in chunk.stride)
            stride = (seconds[0], seconds[1], seconds[2]) if options.chunk_length_s else None
            outputs.append(WhisperOutput(tokens, stride, times))
        return outputs

    def _timing(self, options: SpeechOptions) -> dict[str, Any]:
        if not options.return_timestamps:
            return {}
        by_word = {"return_token_timestamps": True} if options.return_timestamps == "word" else {}
        return {"return_timestamps": True, **by_word}

    def _language_token(self, result: Any) -> list[int]:
        """The language's token of a window's sequence, its prompt included."""
        sequence = result["sequences"] if isinstance(result, Mapping) else result
        known = set((self.model.generation_config.extra.get("lang_to_id") or {}).values())
        return [token for token in np.asarray(sequence).tolist() if token in known][:1]

    def _transcript(self, options: SpeechOptions) -> WhisperTranscript:
        positions = int(self.model.config.get("max_source_positions", 1500))
        by_config = bool(self.model.generation_config.extra.get("return_timestamps"))
        return WhisperTranscript(
            self.tokenizer,
            time_precision=float(self.feature_extractor.chunk_length) / positions,
            with_timestamps=bool(options.return_timestamps) or by_config,
            with_words=options.return_timestamps == "word",
            with_language=bool(options.return_language),
        )
