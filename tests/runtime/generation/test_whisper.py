"""Whisper's generate() beside transformers', token for token, with a tiny multilingual model and with a real one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from speech_samples import RATE, tone

from headway.runtime import AutoFeatureExtractor, AutoModelForSpeechSeq2Seq, AutoProcessor, load_audio
from headway.runtime.errors import InputError, InputTooLongError, OptionError

SECONDS = 2
LONG = {"truncation": False, "padding": "longest", "return_attention_mask": True}


@pytest.fixture(scope="module")
def whisper(speech_models):
    return speech_models("whisper")


@pytest.fixture(scope="module")
def loaded(whisper):
    return AutoModelForSpeechSeq2Seq.from_pretrained(whisper.artifact, num_threads=1)


@pytest.fixture(scope="module")
def features(whisper) -> np.ndarray:
    """(3, 16, frames) of one window."""
    extractor = AutoFeatureExtractor.from_pretrained(whisper.artifact)
    return extractor([tone(RATE * SECONDS, seed) for seed in range(3)], return_tensors="np")["input_features"]


@pytest.fixture(scope="module")
def long_features(whisper):
    """Features and mask of seven and four seconds, several windows."""
    extractor = AutoFeatureExtractor.from_pretrained(whisper.artifact)
    return extractor([tone(RATE * 7), tone(RATE * 4, 1)], return_tensors="np", **LONG)


def as_tensors(options: dict[str, Any]) -> dict[str, Any]:
    return {name: torch.tensor(value) if isinstance(value, np.ndarray) else value for name, value in options.items()}


def assert_same(model: Any, loaded: Any, **options: Any) -> Any:
    """Sequences, and segments where they are asked for; returns Headway's answer."""
    with torch.no_grad():
        expected = model.generate(**as_tensors(options))
    answer = loaded.generate(**options)
    if isinstance(expected, dict):
        assert answer["sequences"].tolist() == expected["sequences"].tolist()
        for row, expected_row in zip(answer.get("segments", []), expected.get("segments", []), strict=True):
            assert len(row) == len(expected_row)
            for segment, expected_segment in zip(row, expected_row, strict=True):
                assert segment["tokens"].tolist() == expected_segment["tokens"].tolist()
                assert segment["idxs"] == expected_segment["idxs"]
                assert segment["start"] == pytest.approx(float(expected_segment["start"]), abs=1e-9)
                assert segment["end"] == pytest.approx(float(expected_segment["end"]), abs=1e-9)
    else:
        assert answer.tolist() == expected.tolist()
    return answer


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"language": "fr"},
        {"language": "german", "task": "translate"},
        {"language": ["en", "fr", "<|de|>"], "task": "transcribe"},
        {"task": "translate"},
        {"return_timestamps": True},
        {"return_timestamps": True, "return_segments": True, "language": "en"},
        {"max_new_tokens": 7},
        {"max_length": 9},
        {"num_beams": 3, "language": "en"},
        {"num_beams": 2, "return_timestamps": True},
        {"suppress_tokens": None, "begin_suppress_tokens": None},
        {"suppress_tokens": [5, 6, 7, 8]},
        {"forced_bos_token_id": 9},
        {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2},
        {"temperature": 0.0, "compression_ratio_threshold": 0.5, "logprob_threshold": -0.1},
        {"prompt_ids": np.array([10, 11, 12])},
        {"force_unique_generate_call": True},
    ],
    ids=str,
)
def test_one_window(whisper, loaded, features, options):
    assert_same(whisper.model, loaded, input_features=features, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"return_segments": True},
        {"language": "fr", "task": "translate", "max_new_tokens": 12},
        {"logprob_threshold": -100.0, "no_speech_threshold": 0.0, "compression_ratio_threshold": 100.0},
        {"logprob_threshold": 0.0, "no_speech_threshold": 1e-6},
        {"prompt_ids": np.array([10, 11, 12])},
    ],
    ids=str,
)
def test_long_audio(whisper, loaded, long_features, options):
    options = {**options, "temperature": 0.0, "return_timestamps": True}
    assert_same(whisper.model, loaded, **long_features, **options)


@pytest.mark.parametrize(
    "options", [{}, {"prompt_ids": np.array([10, 11]), "prompt_condition_type": "all-segments"}], ids=str
)
def test_windows_that_follow_one_another(whisper, loaded, long_features, options):
    """One row: transformers pads prompts of several rows on the left, each to its own result."""
    one = long_features["input_features"][:1]
    options = {**options, "condition_on_prev_tokens": True, "return_timestamps": True, "max_new_tokens": 8}
    assert_same(whisper.model, loaded, input_features=one, **options)


def test_a_dictionary_of_one_call(whisper, loaded, features):
    options = {"input_features": features, "return_dict_in_generate": True, "output_scores": True, "language": "en"}
    with torch.no_grad():
        expected = whisper.model.generate(**as_tensors(options))
    answer = loaded.generate(**options)
    assert answer.sequences.tolist() == expected.sequences.tolist()
    np.testing.assert_allclose(answer.scores[0], expected.scores[0].numpy(), rtol=1e-3, atol=1e-3)


def test_progress_is_told(loaded, long_features):
    seen: list[list[list[int]]] = []
    loaded.generate(
        **long_features, return_timestamps=True, monitor_progress=lambda frames: seen.append(frames.tolist())
    )
    assert seen[0] == [[0, 700], [0, 400]]
    assert len(seen) > 2


def test_failing_windows_are_written_again_at_other_temperatures(loaded, features):
    options = {"language": "en", "logprob_threshold": 0.0, "temperature": (0.0, 0.8), "seed": 1}
    assert loaded.generate(features, **options).tolist() != loaded.generate(features, language="en").tolist()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"language": "klingon"}, OptionError, "de, en, fr"),
        ({"language": ["en"]}, OptionError, "3 rows"),
        ({"language": 3}, OptionError, "'en'"),
        ({"task": "sing"}, OptionError, "transcribe"),
        ({"prompt_condition_type": "all-segments"}, OptionError, "condition_on_prev_tokens"),
        ({"return_timestamps": "word"}, OptionError, "return_timestamps"),
        ({"prompt_ids": np.array([10**6])}, InputError, "prompt_ids"),
        ({"max_new_tokens": 48}, InputTooLongError, "48 positions"),
        ({"melody": True}, OptionError, "melody"),
    ],
    ids=str,
)
def test_options_that_cannot_be_used(loaded, features, options, error, message):
    with pytest.raises(error, match=message):
        loaded.generate(features, **options)


def test_inputs_that_cannot_be_used(loaded, features, long_features):
    with pytest.raises(InputError, match=r"\(batch, 16, frames\)"):
        loaded.generate(features[:, :8])
    with pytest.raises(InputError, match="one is needed"):
        loaded.generate()
    with pytest.raises(InputError, match="attention_mask"):
        loaded.generate(long_features["input_features"], return_timestamps=True)
    with pytest.raises(OptionError, match="longer than the model's window"):
        loaded.generate(long_features["input_features"][:1], return_timestamps=False)


def test_an_english_model_has_no_languages(loaded, features):
    with pytest.raises(OptionError, match="English only"):
        loaded.generate(features, language="fr", is_multilingual=False)


def test_real_voices(whisper_checkpoint, whisper_artifact, voice_clips):
    """whisper-tiny.en on eight real clips: short with and without timestamps, and over thirty seconds of them."""
    import transformers

    reference = transformers.WhisperForConditionalGeneration.from_pretrained(whisper_checkpoint)
    loaded = AutoModelForSpeechSeq2Seq.from_pretrained(whisper_artifact, num_threads=1)
    processor = AutoProcessor.from_pretrained(whisper_artifact)
    clips = [load_audio(path) for path in voice_clips]
    short = processor(clips, sampling_rate=RATE, return_tensors="np")["input_features"]
    written = assert_same(reference, loaded, input_features=short)
    for path, text in zip(voice_clips, processor.batch_decode(written, skip_special_tokens=True), strict=True):
        assert path.stem.split("_")[1].lower() in text.lower()
    pause = np.zeros(RATE * 3, dtype=np.float32)
    long = np.concatenate([np.concatenate([clip, pause]) for clip in clips])
    features = processor(long, sampling_rate=RATE, return_tensors="np", **LONG)
    assert_same(reference, loaded, **features, return_timestamps=True, return_segments=True)
