"""Audio from files, bytes, arrays and mappings, at the rate that is wanted."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
import soundfile
from speech_samples import RATE, tone

from headway.runtime import load_audio
from headway.runtime.errors import InputError, InputTypeError, MissingExtraError

WAVE = tone(8000)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "wave.wav"
    soundfile.write(path, WAVE, RATE, subtype="FLOAT")
    return path


def test_a_path_bytes_and_mappings_give_the_same(file):
    for audio in (file, str(file), file.read_bytes(), {"path": str(file)}, {"bytes": file.read_bytes()}):
        np.testing.assert_array_equal(load_audio(audio), WAVE)


def test_arrays_are_at_the_rate_that_is_wanted():
    np.testing.assert_array_equal(load_audio(WAVE, 8000), WAVE)
    np.testing.assert_array_equal(load_audio(WAVE.astype(np.float64)), WAVE)
    np.testing.assert_array_equal(load_audio(WAVE[:100].tolist()), WAVE[:100])


def test_whole_numbers_are_fractions_of_their_range():
    loaded = load_audio(np.array([0, 16384, -32768], dtype=np.int16))
    np.testing.assert_array_equal(loaded, np.array([0, 0.5, -1], dtype=np.float32))


def test_channels_are_averaged(tmp_path):
    stereo = np.stack([WAVE, tone(8000, 1)])
    np.testing.assert_allclose(load_audio(stereo), stereo.mean(axis=0), atol=1e-7)
    soundfile.write(tmp_path / "stereo.flac", stereo.T, RATE, subtype="PCM_24")
    np.testing.assert_allclose(load_audio(tmp_path / "stereo.flac"), stereo.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_another_rate_is_resampled(rate):
    time = np.arange(rate) / rate
    sine = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    loaded = load_audio({"raw": sine, "sampling_rate": rate})
    expected = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert len(loaded) == RATE
    assert loaded.dtype == np.float32
    # The ends ring.
    np.testing.assert_allclose(loaded[500:-500], expected[500:-500], atol=1e-3)


def test_a_file_is_resampled(tmp_path):
    soundfile.write(tmp_path / "slow.wav", WAVE, 8000, subtype="FLOAT")
    assert len(load_audio(tmp_path / "slow.wav")) == 16000
    np.testing.assert_array_equal(
        load_audio(tmp_path / "slow.wav"), load_audio({"array": WAVE, "sampling_rate": 8000, "path": None})
    )


@pytest.mark.parametrize(
    ("audio", "error", "message"),
    [
        ("nowhere.wav", InputError, "there is no file"),
        ("https://example.org/a.wav", InputError, "web address"),
        (b"RIFF but no audio", InputError, "cannot be read as audio"),
        (b"", InputError, "cannot be read as audio"),
        (np.zeros(0), InputError, "empty"),
        (np.zeros((2, 2, 2)), InputError, "shape"),
        (np.array([0.0, np.nan]), InputError, "nan"),
        ([[1.0], [1.0, 2.0]], InputTypeError, "ragged"),
        (3, InputTypeError, "int"),
        (None, InputTypeError, "NoneType"),
        ({"raw": WAVE}, InputError, "sampling_rate None"),
        ({"raw": WAVE, "sampling_rate": 0}, InputError, "sampling_rate 0"),
        ({"sampling_rate": 16000}, InputError, "keys"),
    ],
)
def test_audio_that_cannot_be_used(audio, error, message):
    with pytest.raises(error, match=message) as caught:
        load_audio(audio, name="Input 3")
    assert str(caught.value).startswith("Input 3")
    assert "\n" not in str(caught.value)


def test_a_file_cut_short(file):
    content = file.read_bytes()
    with pytest.raises(InputError):
        load_audio(content[:40])


def test_an_empty_file_of_audio():
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(0, dtype=np.float32), RATE, format="WAV")
    with pytest.raises(InputError, match="empty"):
        load_audio(stream.getvalue())


@pytest.mark.parametrize("package", ["soundfile", "soxr"])
def test_without_the_extra_the_message_names_it(package, file, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"headway\[audio\]"):
        load_audio(file, 8000)
