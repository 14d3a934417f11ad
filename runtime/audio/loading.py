"""Audio from a path, the bytes of a file, or an array, as one channel at the rate a model takes."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, InputTypeError, MissingExtraError
from .resampling import resample
from .waveforms import Waveform, require_waveform

ACCEPTED = "a path, the bytes of an audio file, samples, or {'raw': samples, 'sampling_rate': rate}"


def load_audio(audio: Any, sampling_rate: int = 16000, *, name: str = "The audio") -> Waveform:
    """Audio as (samples,) float32, one channel.

    Args:
        audio: a path; the bytes of an audio file; an array (samples,) or (channels, samples), taken to be at
            ``sampling_rate``; or a mapping with ``raw`` or ``array`` and its own ``sampling_rate``, or with ``path`` or
            ``bytes``. Whole numbers are taken as fractions of their dtype's range.
        sampling_rate: what the result has, in hertz; audio at another rate is resampled (needs the ``[audio]`` extra).
        name: what messages call it.

    Raises:
        InputError, InputTypeError: there is no such file, it is no audio, or the samples cannot be used.
        MissingExtraError: the ``[audio]`` extra is needed and not there.
    """
    samples, rate = _samples(audio, sampling_rate, name)
    mono = require_waveform(_one_channel(samples, name), name)
    return resample(mono, rate, sampling_rate)


def _samples(audio: Any, sampling_rate: int, name: str) -> tuple[Any, int]:
    if isinstance(audio, str | os.PathLike):
        return _read_path(Path(audio), name)
    if isinstance(audio, bytes | bytearray | memoryview):
        return _decode(io.BytesIO(bytes(audio)), name)
    if isinstance(audio, Mapping):
        return _from_mapping(audio, name)
    if isinstance(audio, list | tuple) or hasattr(audio, "__array__"):
        return audio, sampling_rate
    raise InputTypeError(f"{name} is a {type(audio).__name__}; {ACCEPTED} is needed.")


def _from_mapping(audio: Mapping[Any, Any], name: str) -> tuple[Any, int]:
    key = next((key for key in ("raw", "array") if audio.get(key) is not None), None)
    if key is None:
        source = audio.get("bytes") or audio.get("path")
        if source is None:
            raise InputError(f"{name} has the keys {', '.join(map(str, audio)) or 'of nothing'}; {ACCEPTED} is needed.")
        return _samples(source, 0, name)
    rate = audio.get("sampling_rate")
    if not isinstance(rate, int | np.integer) or isinstance(rate, bool) or rate <= 0:
        raise InputError(f"{name} has sampling_rate {rate!r}; samples a second are needed, such as 16000.")
    return audio[key], int(rate)


def _one_channel(samples: Any, name: str) -> Any:
    """The mean of the channels, which come first, as transformers takes it."""
    try:
        array: NDArray[Any] = np.asarray(samples)
    except ValueError as error:
        raise InputTypeError(f"{name} is ragged ({error}); (samples,) or (channels, samples) is needed.") from error
    if array.ndim not in (1, 2):
        raise InputError(f"{name} has shape {array.shape}; (samples,) or (channels, samples) is needed.")
    if array.dtype in (np.int16, np.int32):
        array = array.astype(np.float32) / np.float32(-float(np.iinfo(array.dtype).min))
    return array if array.ndim == 1 or array.size == 0 else array.mean(axis=0)


def _read_path(path: Path, name: str) -> tuple[Any, int]:
    if str(path).startswith(("http:/", "https:/")):
        raise InputError(f"{name} is a web address, {path}; download the file and pass its path.")
    if not path.is_file():
        raise InputError(f"{name}: there is no file {path}.")
    return _decode(path, f"{name} {path.name}")


def _decode(source: Path | io.BytesIO, name: str) -> tuple[Any, int]:
    soundfile = _soundfile()
    try:
        samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
    except (RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{name} cannot be read as audio: {reason} WAV, FLAC, OGG and MP3 are known; convert it to one of them."
        ) from error
    # (samples, channels) → (channels, samples)
    return samples.T, int(rate)


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise MissingExtraError(
            "Audio files need the package soundfile. Install it with: pip install 'headway[audio]'"
        ) from error
    return soundfile
