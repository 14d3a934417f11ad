"""Feature extractors beside transformers' own, on their numpy path."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import transformers
from speech_samples import RATE, tone

from headway.runtime import AutoFeatureExtractor
from headway.runtime.audio.auto import FEATURE_EXTRACTORS
from headway.runtime.errors import (
    ArtifactNotFoundError,
    CorruptArtifactError,
    InputError,
    InputTypeError,
    OptionError,
    UnsupportedFormatError,
)

TOLERANCE = 1e-4
WAVES = [tone(24000), tone(9000, 1), tone(41234, 2)]
FIXED = ("ASTFeatureExtractor",)
FRAMES = ("Speech2TextFeatureExtractor", "SeamlessM4TFeatureExtractor")
# Options that differ from the defaults.
CONFIGS: dict[str, dict[str, Any]] = {
    "ASTFeatureExtractor": {"max_length": 100, "num_mel_bins": 64},
    "SeamlessM4TFeatureExtractor": {"num_mel_bins": 40, "feature_size": 40, "stride": 4},
    "Speech2TextFeatureExtractor": {"normalize_vars": False, "num_mel_bins": 40, "feature_size": 40},
    "SpeechT5FeatureExtractor": {"do_normalize": True},
    "Wav2Vec2FeatureExtractor": {"do_normalize": False, "padding_value": 0.5, "return_attention_mask": True},
    "WhisperFeatureExtractor": {"feature_size": 128, "chunk_length": 10},
}
CALLS: dict[str, dict[str, Any]] = {
    "alone": {},
    "longest": {"padding": True},
    "masked": {"padding": "longest", "return_attention_mask": True},
    "cut": {"padding": "max_length", "max_length": 30000, "truncation": True, "return_attention_mask": True},
    "multiple": {"padding": True, "pad_to_multiple_of": 400, "return_attention_mask": True},
}


@pytest.fixture(autouse=True)
def numpy_path(monkeypatch):
    """transformers without torch, as Headway runs."""
    from transformers.models.whisper import feature_extraction_whisper

    monkeypatch.setattr(feature_extraction_whisper, "is_torch_available", lambda: False)


def written(reference, folder) -> Any:
    """Headway's feature extractor from the file that transformers writes."""
    reference.save_pretrained(folder)
    return AutoFeatureExtractor.from_pretrained(folder)


def assert_same(reference, found, waves, **options):
    name = "audio" if isinstance(reference, transformers.SpeechT5FeatureExtractor) else "raw_speech"
    expected = reference(**{name: waves}, sampling_rate=RATE, return_tensors="np", **options)
    actual = found(waves, sampling_rate=RATE, return_tensors="np", **options)
    assert actual.keys() == expected.keys()
    for key, values in expected.items():
        assert actual[key].dtype == values.dtype
        np.testing.assert_allclose(actual[key], values, atol=TOLERANCE, rtol=0)


# transformers says of its own default for the Audio Spectrogram Transformer that some filters are narrow.
@pytest.mark.filterwarnings("ignore:At least one mel filter")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", FEATURE_EXTRACTORS)
def test_features_are_transformers(kind, call, tmp_path):
    options = dict(CALLS[call])
    if kind in FIXED and options:
        options = {}
    if kind in FRAMES:
        options |= {"max_length": 200} if "max_length" in options else {}
        options |= {"pad_to_multiple_of": 8} if "pad_to_multiple_of" in options else {}
    for values in ({}, CONFIGS[kind]):
        reference = getattr(transformers, kind)(**values)
        found = written(reference, tmp_path)
        assert_same(reference, found, WAVES[0], **options)
        if call != "alone" or kind in FIXED or kind == "WhisperFeatureExtractor":
            assert_same(reference, found, WAVES, **options)


def test_long_audio_of_whisper_is_not_cut(tmp_path):
    reference = transformers.WhisperFeatureExtractor(chunk_length=2)
    found = written(reference, tmp_path)
    options = {"truncation": False, "padding": "longest", "return_attention_mask": True}
    assert_same(reference, found, [tone(16000 * 5), tone(50000, 1)], **options)


def test_silence_and_a_quiet_end_of_whisper(tmp_path):
    reference = transformers.WhisperFeatureExtractor()
    found = written(reference, tmp_path)
    quiet_end = np.concatenate([tone(8000), np.zeros(5000, np.float32)])
    for wave in (np.zeros(16000, np.float32), quiet_end, tone(16000 * 30 - 7), tone(16000 * 31)):
        assert_same(reference, found, wave)


def test_options_of_a_call_and_lists_of_numbers(tmp_path):
    reference = transformers.WhisperFeatureExtractor(chunk_length=2)
    assert_same(
        reference, written(reference, tmp_path), WAVES[0].tolist(), do_normalize=True, return_attention_mask=True
    )


def test_a_file_without_a_class_is_told_by_the_model_type(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 8000}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "hubert"}))
    found = AutoFeatureExtractor.from_pretrained(tmp_path, do_normalize=False)
    assert (type(found).__name__, found.sampling_rate, found.do_normalize) == ("Wav2Vec2FeatureExtractor", 8000, False)


def test_it_saves_what_transformers_loads(tmp_path):
    found = written(transformers.WhisperFeatureExtractor(feature_size=128, chunk_length=10), tmp_path)
    found.save_pretrained(tmp_path / "again")
    again = transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "again")
    assert (again.feature_size, again.chunk_length, type(again).__name__) == (128, 10, "WhisperFeatureExtractor")


def extractor(kind: str = "Wav2Vec2FeatureExtractor", **options: Any) -> Any:
    return FEATURE_EXTRACTORS[kind](options)


@pytest.mark.parametrize(
    ("audio", "error", "message"),
    [
        ([], InputError, "empty"),
        (np.array([np.nan] * 100), InputError, "nan"),
        (np.zeros((2, 3, 4)), InputError, "channel"),
        ("a.wav", InputTypeError, "str"),
        (np.array(["a"]), InputTypeError, "<U1"),
        (None, InputTypeError, "NoneType"),
        ([[1.0, 2.0], [np.inf]], InputError, "Audio 1"),
    ],
)
def test_audio_that_cannot_be_used(audio, error, message):
    with pytest.raises(error, match=message):
        extractor()(audio, padding=True)


def test_another_rate_is_refused_with_what_to_do():
    with pytest.raises(InputError, match="8000 samples a second; the model takes 16000"):
        extractor()(WAVES[0], sampling_rate=8000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "sideways"}, "sideways"),
        ({"truncation": True}, "max_length"),
        ({"padding": "max_length"}, "max_length"),
        ({"window": 3}, "window"),
        ({"return_tensors": "pt"}, "pt"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    with pytest.raises(OptionError, match=message):
        extractor()(WAVES[0], **options)


def test_rows_of_different_lengths_are_no_array():
    with pytest.raises(InputError, match="shapes"):
        extractor()(WAVES, return_tensors="np")
    assert [len(row) for row in extractor()(WAVES)["input_values"]] == [len(wave) for wave in WAVES]


def test_audio_shorter_than_a_frame():
    with pytest.raises(InputError, match="400 are needed"):
        extractor("ASTFeatureExtractor")(tone(399))


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"feature_extractor_type": "Pop2PianoFeatureExtractor"}, UnsupportedFormatError),
        ({"sampling_rate": "fast", "feature_extractor_type": "Wav2Vec2FeatureExtractor"}, CorruptArtifactError),
        ({"sampling_rate": 0, "feature_extractor_type": "Wav2Vec2FeatureExtractor"}, CorruptArtifactError),
        ({"dither": 0.1, "feature_extractor_type": "WhisperFeatureExtractor"}, CorruptArtifactError),
        ({}, UnsupportedFormatError),
    ],
)
def test_files_that_cannot_be_used(config, error, tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    with pytest.raises(error):
        AutoFeatureExtractor.from_pretrained(tmp_path)


def test_a_folder_without_the_file(tmp_path):
    with pytest.raises(ArtifactNotFoundError, match=r"preprocessor_config\.json"):
        AutoFeatureExtractor.from_pretrained(tmp_path)
