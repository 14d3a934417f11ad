"""AutoFeatureExtractor: the class that a checkpoint's preprocessor_config.json asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ArtifactNotFoundError, CorruptArtifactError, OptionError, UnsupportedFormatError
from ..hub import resolve_folder
from ..safe_paths import read_optional_json
from .feature_extractor import FEATURE_EXTRACTOR_FILE, FeatureExtractor
from .filterbank_features import ASTFeatureExtractor, SeamlessM4TFeatureExtractor, Speech2TextFeatureExtractor
from .waveform_features import SpeechT5FeatureExtractor, Wav2Vec2FeatureExtractor
from .whisper_features import WhisperFeatureExtractor

_NESTED_FILE = "processor_config.json"
_CONFIG_FILE = "config.json"
_HUB_OPTIONS = ("subfolder", "revision", "cache_dir", "local_files_only", "token")

FEATURE_EXTRACTORS: Mapping[str, type[FeatureExtractor]] = {
    kind.__name__: kind
    for kind in (
        ASTFeatureExtractor,
        SeamlessM4TFeatureExtractor,
        Speech2TextFeatureExtractor,
        SpeechT5FeatureExtractor,
        Wav2Vec2FeatureExtractor,
        WhisperFeatureExtractor,
    )
}
"""transformers' name → class. A new one is a new entry."""

# For files that name no class. Source: transformers 5.23, models/auto/feature_extraction_auto.py.
_WAVEFORM_TYPES = (
    "wav2vec2 wav2vec2-bert wav2vec2-conformer hubert wavlm sew sew-d unispeech unispeech-sat data2vec-audio moonshine"
)
_BY_MODEL_TYPE: Mapping[str, type[FeatureExtractor]] = {
    "audio-spectrogram-transformer": ASTFeatureExtractor,
    "seamless_m4t": SeamlessM4TFeatureExtractor,
    "seamless_m4t_v2": SeamlessM4TFeatureExtractor,
    "speech_to_text": Speech2TextFeatureExtractor,
    "speecht5": SpeechT5FeatureExtractor,
    "whisper": WhisperFeatureExtractor,
    **dict.fromkeys(_WAVEFORM_TYPES.split(), Wav2Vec2FeatureExtractor),
}


class AutoFeatureExtractor:
    """``AutoFeatureExtractor.from_pretrained(name)`` as in transformers."""

    @staticmethod
    def from_pretrained(name_or_path: str | Path, **options: Any) -> FeatureExtractor:
        """The feature extractor of a folder or hub id.

        Args:
            name_or_path: a folder with a preprocessor_config.json, or a hub id.
            options: ``subfolder``, ``revision``, ``cache_dir``, ``local_files_only`` and ``token`` for the hub; any
                other sets an option of the feature extractor.

        Raises:
            ArtifactNotFoundError: no such folder, or no preprocessor_config.json in it.
            CorruptArtifactError: the file cannot be read, or holds a value that cannot be used.
            UnsupportedFormatError: it asks for a class that is not known here.
            OptionError: one of ``options`` cannot be used.
        """
        hub = {name: value for name, value in options.items() if name in _HUB_OPTIONS}
        overrides = {name: value for name, value in options.items() if name not in _HUB_OPTIONS}
        wanted = [FEATURE_EXTRACTOR_FILE, _NESTED_FILE, _CONFIG_FILE]
        folder = resolve_folder(name_or_path, allow_patterns=wanted, **hub)
        config = _read_config(folder)
        found = _find_class(config, folder)
        values = {name: value for name, value in config.items() if name not in _NOT_OPTIONS}
        try:
            loaded = found(values)
        except OptionError as error:
            raise CorruptArtifactError(f"{folder / FEATURE_EXTRACTOR_FILE}: {error}") from error
        return found({**loaded.options, **overrides}) if overrides else loaded


_NOT_OPTIONS = frozenset({"feature_extractor_type", "processor_class", "mel_filters"})


def _read_config(folder: Path) -> dict[str, Any]:
    nested = (read_optional_json(folder / _NESTED_FILE) or {}).get("feature_extractor")
    config = nested if isinstance(nested, dict) else read_optional_json(folder / FEATURE_EXTRACTOR_FILE)
    if config is None:
        raise ArtifactNotFoundError(
            f"{folder} has no {FEATURE_EXTRACTOR_FILE}. Pass a folder that has one, or copy the checkpoint's own there."
        )
    return config


def _find_class(config: Mapping[str, Any], folder: Path) -> type[FeatureExtractor]:
    name = config.get("feature_extractor_type")
    model_type = str((read_optional_json(folder / _CONFIG_FILE) or {}).get("model_type"))
    found = FEATURE_EXTRACTORS.get(str(name)) if name else _BY_MODEL_TYPE.get(model_type)
    if found is None:
        asked = f"asks for a {name}" if name else f"names no class, and {model_type!r} stands for none"
        raise UnsupportedFormatError(
            f"{folder / FEATURE_EXTRACTOR_FILE} {asked}; available without transformers are"
            f" {', '.join(FEATURE_EXTRACTORS)}. Make the inputs otherwise and call the model with them."
        )
    return found
