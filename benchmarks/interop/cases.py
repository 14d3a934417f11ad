"""The folders of the comparison: one entry for each exporter, model and variant."""

import wave
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headway.benchmarks.peers.environments import cache_folder
from headway.benchmarks.real_models import fetch
from headway.benchmarks.voice_clips import fetch_voice_clips

# In the vocabulary of every trained model here.
_SHORT = [504, 575, 282, 649, 314]
_LONG = [1, 93, 198, 780, 314, 260, 575, 282, 649, 47, 20, 198, 11, 520, 531, 198, 8]
NUM_TOKENS = 50


@dataclass(frozen=True)
class Model:
    """A checkpoint that is exported.

    Args:
        kind: of :class:`.request.Request`.
        checkpoint: fetches it and gives its folder.
        rows: what it is run on, or reads it.
    """

    kind: str
    checkpoint: Callable[[], Path]
    rows: Sequence[Sequence[int]] | Callable[[], Sequence[Sequence[int]]]

    @property
    def inputs(self) -> list[list[int]]:
        """Rows of token ids, or samples of a voice."""
        return [list(row) for row in (self.rows() if callable(self.rows) else self.rows)]

    @property
    def num_tokens(self) -> int:
        """How many tokens it writes after each row."""
        return NUM_TOKENS if self.kind.endswith("-lm") else 0


@dataclass(frozen=True)
class Exporter:
    """Who exports.

    Args:
        module: of this package.
        environment: the peer's, None for this one.
    """

    module: str
    environment: str | None = None


@dataclass(frozen=True)
class Case:
    """One folder.

    Args:
        model: a key of :data:`MODELS`.
        exporter: a key of :data:`EXPORTERS`.
        variant: in the exporter's own words.
        dtype: what Headway is asked for; None leaves it to the folder.
        difference: the largest that is allowed, relative to the largest value of the exporter's own runtime.
        refusal: what Headway says where such a folder lacks a part that it needs.
    """

    model: str
    exporter: str
    variant: str = "fp32"
    dtype: str | None = None
    difference: float = 1e-4
    refusal: str | None = None

    @property
    def folder(self) -> Path:
        """Where the export lies."""
        return cache_folder("interop") / f"{self.model}-{self.exporter}-{self.variant}"


def _tiny_classifier() -> Path:
    """A tiny random BERT with a head of three labels."""
    folder = cache_folder("interop") / "classifier-checkpoint"
    if not (folder / "config.json").exists():
        from headway.benchmarks.tiny_checkpoints import tiny_checkpoint

        tiny_checkpoint(folder, "bert", "AutoModelForSequenceClassification")
    return folder


def _voices() -> list[list[int]]:
    """The clips at 16 kHz, a third of their samples."""
    found = []
    for path in sorted(fetch_voice_clips().glob("*.wav")):
        with wave.open(str(path)) as clip:
            samples = np.frombuffer(clip.readframes(clip.getnframes()), np.int16)
        found.append(samples[: len(samples) // 3 * 3].reshape(-1, 3).mean(axis=1).astype(int).tolist())
    return found


MODELS: Mapping[str, Model] = {
    "smollm2": Model("causal-lm", lambda: fetch("smollm2"), [_SHORT, _LONG]),
    "t5-title": Model("seq2seq-lm", lambda: fetch("t5-title"), [_SHORT, _LONG]),
    "whisper": Model("speech-lm", lambda: fetch("whisper-tiny-en"), _voices),
    "minilm": Model("encoder", lambda: fetch("minilm"), [_SHORT, _LONG]),
    "classifier": Model("classifier", _tiny_classifier, [[3, 7, 9, 30, 12], [2, 5, 6, 7, 1, 1, 8, 40]]),
}

EXPORTERS: Mapping[str, Exporter] = {
    "optimum": Exporter("optimum_side", "optimum-onnx"),
    "transformers": Exporter("transformers_side"),
    "genai": Exporter("genai_side", "onnxruntime-genai"),
}

CASES: Sequence[Case] = (
    Case("smollm2", "optimum"),
    Case("smollm2", "transformers"),
    Case("smollm2", "transformers", "chunks"),
    Case("smollm2", "genai"),
    Case("smollm2", "genai", "int4"),
    Case("t5-title", "optimum"),
    Case("t5-title", "optimum", "parts"),
    Case("t5-title", "transformers", refusal="has no encoder"),
    Case("t5-title", "transformers", "encoder"),
    Case("whisper", "optimum"),
    Case("whisper", "optimum", "parts"),
    Case("minilm", "optimum"),
    Case("minilm", "optimum", "optimized", "optimized"),
    Case("minilm", "optimum", "quantized", "int8"),
    Case("minilm", "transformers"),
    Case("classifier", "optimum"),
    Case("classifier", "optimum", "optimized", "optimized"),
    Case("classifier", "optimum", "quantized", "int8"),
    Case("classifier", "transformers"),
)
