"""preprocessor_config.json and processor_config.json: where a checkpoint says how its images are prepared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ArtifactNotFoundError, UnsupportedFormatError
from ..hub import resolve_folder
from ..safe_paths import is_regular_file, read_json, read_optional_json
from .kinds import KINDS, KINDS_BY_MODEL_TYPE

PROCESSOR_FILE = "preprocessor_config.json"
NESTED_FILE = "processor_config.json"
_CONFIG_FILE = "config.json"

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")
_HUB_OPTIONS = frozenset({"subfolder", "revision", "cache_dir", "local_files_only", "token"})
# Options of transformers' from_pretrained that choose between its backends; here there is one.
_IGNORED_OPTIONS = frozenset({"use_fast", "backend"})


def read_config(name: str | Path, options: Mapping[str, Any]) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """The image processor's config, the file it came from, and the options that are not about where to look.

    A ``processor_config.json`` with an ``image_processor`` in it comes first, then ``preprocessor_config.json``. The
    model type of config.json goes along, for files that name no class.

    Raises:
        ArtifactNotFoundError: there is no such folder, or neither file in it.
        CorruptArtifactError: a file cannot be read.

    Source: ``ImageProcessingMixin.get_image_processor_dict`` of transformers 5.23.
    """
    hub = {key: value for key, value in options.items() if key in _HUB_OPTIONS}
    others = {key: value for key, value in options.items() if key not in _HUB_OPTIONS | _IGNORED_OPTIONS}
    if Path(name).suffix == ".json" and is_regular_file(Path(name)):
        return read_json(Path(name)), str(name), others
    folder = resolve_folder(name, allow_patterns=[PROCESSOR_FILE, NESTED_FILE, _CONFIG_FILE], **hub)
    config, file_name = _own_or_nested(folder)
    if config is None:
        raise ArtifactNotFoundError(
            f"{folder} has no {PROCESSOR_FILE}. Pass a folder that has one, or copy the checkpoint's own there."
        )
    model_config = read_optional_json(folder / _CONFIG_FILE) or {}
    named: dict[str, Any] = {
        key: model_config[key] for key in ("model_type", "image_processor_type") if key in model_config
    }
    return {**named, **config}, str(folder / file_name), others


def _own_or_nested(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """The image processor's config and the file it is in: within the processor's, or one of its own."""
    nested = (read_optional_json(folder / NESTED_FILE) or {}).get("image_processor")
    if isinstance(nested, dict):
        return nested, NESTED_FILE
    return read_optional_json(folder / PROCESSOR_FILE), PROCESSOR_FILE


def has_image_processor(folder: Path) -> bool:
    """Whether a folder says how images are prepared."""
    config = _own_or_nested(folder)[0]
    if config is None:
        return False
    named = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    return "ImageProcessor" in named or ("image_mean" in config and "sampling_rate" not in config)


def takes_images_alone(folder: Path) -> bool:
    """Whether a folder says how images are prepared, and has no tokenizer for texts beside them."""
    return has_image_processor(folder) and not any((folder / name).exists() for name in _TOKENIZER_FILES)


def processor_class_of(folder: Path) -> str | None:
    """The class of transformers that joins image processor and tokenizer, by the file that names it first."""
    for name in (NESTED_FILE, PROCESSOR_FILE, "tokenizer_config.json"):
        named = (read_optional_json(folder / name) or {}).get("processor_class")
        if named is not None:
            return str(named)
    return None


def find_kind(config: Mapping[str, Any], origin: str) -> str:
    """The class of transformers that a config names, or its model type stands for.

    Raises:
        UnsupportedFormatError: it is not known here, or the file names none.
    """
    named = config.get("image_processor_type") or config.get("feature_extractor_type")
    if named is None:
        named = KINDS_BY_MODEL_TYPE.get(str(config.get("model_type")))
    if named is None:
        raise UnsupportedFormatError(
            f"{origin} names no image_processor_type, and the model type {config.get('model_type')!r} stands for none."
            f" Add one of {', '.join(KINDS)}."
        )
    kind = str(named).replace("FeatureExtractor", "ImageProcessor")
    for suffix in ("Fast", "Pil"):
        kind = kind.removesuffix(suffix)
    if kind not in KINDS:
        raise UnsupportedFormatError(
            f"{origin} asks for a {kind}, which is not available without transformers; available are"
            f" {', '.join(KINDS)}. Prepare pixel_values otherwise and call the model with them."
        )
    return kind
