"""Times of tokens and words beside transformers', from the same attention and from the whole model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from speech_samples import RATE, tone
from transformers.models.whisper.generation_whisper import WhisperGenerationMixin

from headway.runtime import AutoFeatureExtractor, AutoModelForSpeechSeq2Seq, load_audio, pipeline
from headway.runtime.errors import OptionError
from headway.runtime.generation.config import GenerationConfig
from headway.runtime.generation.whisper_alignment import TokenAligner

HEADS = [(0, 1), (1, 0), (1, 2)]


class GivenAttention:
    """Graphs that attend as they are told."""

    cross_attention_names = ("cross_attentions.0", "cross_attentions.1")

    def __init__(self, weights: list[np.ndarray]) -> None:
        self.weights = weights

    def cross_attentions(self, encoded: Any, input_ids: np.ndarray) -> dict[int, np.ndarray]:
        return dict(enumerate(self.weights))


@pytest.mark.parametrize("num_frames", [None, [40, 40], [40, 23], [6, 4]], ids=str)
@pytest.mark.parametrize(("num_tokens", "prompt_length"), [(9, 3), (4, 3), (25, 1), (3, 3)])
def test_times_of_given_attention(num_tokens, prompt_length, num_frames):
    generator = np.random.default_rng(num_tokens)
    raw = generator.standard_normal((2, 2, 3, num_tokens - 1, 20)).astype(np.float32) * 3
    weights = list(np.exp(raw) / np.exp(raw).sum(-1, keepdims=True))
    sequences = np.zeros((2, num_tokens), dtype=np.int64)
    # transformers: (step, layer) → (batch, heads, tokens, positions)
    outputs = {
        "sequences": torch.tensor(sequences),
        "cross_attentions": [[torch.tensor(layer) for layer in weights]],
    }
    model = SimpleNamespace(config=SimpleNamespace(decoder_layers=2, median_filter_width=7))
    expected = WhisperGenerationMixin._extract_token_timestamps(
        model,
        type("Outputs", (dict,), {"__getattr__": dict.__getitem__})(outputs),
        HEADS,
        num_frames=None if num_frames is None else np.array(num_frames),
        num_input_ids=prompt_length,
    )
    aligner = TokenAligner(GivenAttention(weights), HEADS, 7, 0.02)
    found = aligner.times(None, sequences, prompt_length, num_frames)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


@pytest.fixture(scope="module")
def whisper(speech_models):
    return speech_models("whisper")


@pytest.mark.parametrize("options", [{}, {"return_timestamps": True}, {"num_beams": 2}], ids=str)
def test_times_of_tokens(whisper, options):
    loaded = AutoModelForSpeechSeq2Seq.from_pretrained(whisper.artifact, num_threads=1)
    extract = AutoFeatureExtractor.from_pretrained(whisper.artifact)
    waves = [tone(RATE * 2)] if "num_beams" in options else [tone(RATE * 2), tone(RATE * 2, 1)]
    features = extract(waves, return_tensors="np", return_attention_mask=True)
    options = {**options, "return_token_timestamps": True, "language": "en"}
    expected = whisper.model.generate(**{name: torch.tensor(value) for name, value in features.items()}, **options)
    found = loaded.generate(**features, **options)
    assert found["sequences"].tolist() == expected["sequences"].tolist()
    np.testing.assert_allclose(found["token_timestamps"], expected["token_timestamps"].numpy(), atol=1e-6)


def test_a_model_that_names_no_heads():
    with pytest.raises(OptionError, match="alignment_heads"):
        TokenAligner.of(GivenAttention([]), GenerationConfig(), 7, 0.02)


def test_a_graph_without_the_weights():
    config = GenerationConfig.from_dict({"alignment_heads": [[0, 0]]})
    graphs = SimpleNamespace(cross_attention_names=[])
    with pytest.raises(OptionError, match="export the checkpoint again"):
        TokenAligner.of(graphs, config, 7, 0.02)


@pytest.mark.filterwarnings("ignore")
def test_words_of_real_voices(whisper_checkpoint, whisper_artifact, voice_clips):
    """Words and their times of whole clips, and of chunks that overlap."""
    expected = transformers.pipeline("automatic-speech-recognition", str(whisper_checkpoint))
    recognize = pipeline("automatic-speech-recognition", whisper_artifact, num_threads=1)
    clips = [load_audio(path) for path in voice_clips[:3]]
    pause = np.zeros(RATE, dtype=np.float32)
    joined = np.concatenate([part for clip in clips for part in (clip, pause)])
    greedy = {"generate_kwargs": {"num_beams": 1}, "return_timestamps": "word"}
    for wave, options in ((clips[0], {}), (joined, {}), (joined, {"chunk_length_s": 5})):
        assert recognize(wave, **options, **greedy) == expected(wave.copy(), **options, **greedy)
