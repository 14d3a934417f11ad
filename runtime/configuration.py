"""A checkpoint's config.json as an object with transformers' attribute names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import ArtifactNotFoundError, CorruptArtifactError
from .hub import resolve_folder
from .layouts import read_layout
from .layouts.genai import GENAI_FILE
from .safe_paths import read_optional_json

CONFIG_FILE = "config.json"

# The common name first, then what architectures call it (transformers' `attribute_map` of each configuration class).
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "hidden_size": ("n_embd", "d_model", "dim", "model_dim", "emb_dim"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers", "encoder_layers"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads", "encoder_attention_heads"),
    "max_position_embeddings": ("n_positions", "n_ctx", "max_seq_len"),
    "intermediate_size": ("n_inner", "d_ff", "hidden_dim", "encoder_ffn_dim"),
    "vocab_size": ("n_token", "n_words"),
}


class Config:
    """Values of config.json by attribute.

    ``id2label`` has integer keys and ``label2id`` integer values, as in transformers; a nested configuration
    (``text_config``) is a Config too.

    Args:
        values: the JSON object.
        name_or_path: where it came from.

    Raises:
        CorruptArtifactError: the labels are no table of numbers and names.

    >>> config = Config({"id2label": {"0": "NEGATIVE", "1": "POSITIVE"}, "dim": 768})
    >>> config.id2label[1], config.num_labels, config.hidden_size
    ('POSITIVE', 2, 768)
    """

    def __init__(self, values: Mapping[str, Any], name_or_path: str = "") -> None:
        self._values: dict[str, Any] = dict(values)
        self.name_or_path = name_or_path
        origin = f"{name_or_path or 'the config'}: {CONFIG_FILE}"
        if self._values.get("id2label") is not None:
            self._values["id2label"] = _labels_by_index(self._values["id2label"], origin)
        if self._values.get("label2id") is not None:
            self._values["label2id"] = _indices_by_label(self._values["label2id"], origin)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **hub_options: Any) -> Config:
        """Read config.json of a folder or hub id.

        Args:
            name_or_path: a folder or a hub id.
            hub_options: ``subfolder``, ``revision``, ``cache_dir``, ``local_files_only``, ``token``.

        Raises:
            ArtifactNotFoundError: there is no such folder or no config.json in it.
            CorruptArtifactError: it cannot be read.
        """
        folder = resolve_folder(name_or_path, allow_patterns=[CONFIG_FILE, GENAI_FILE], **hub_options)
        values = read_optional_json(folder / CONFIG_FILE)
        if values is None and (folder / GENAI_FILE).is_file():
            layout = read_layout((), lambda file: read_optional_json(folder / file))
            values = dict(layout.config)
        if values is None:
            raise ArtifactNotFoundError(f"{folder} has no {CONFIG_FILE}. Pass a folder written by `headway export`.")
        return cls(values, name_or_path=str(name_or_path))

    def __getattr__(self, name: str) -> Any:
        values: dict[str, Any] = self.__dict__.get("_values", {})
        for candidate in (name, *_ALIASES.get(name, ())):
            if candidate in values:
                value = values[candidate]
                nested = name.endswith("_config") and isinstance(value, Mapping)
                return Config(value, self.name_or_path) if nested else value
        raise AttributeError(f"This config has no {name!r}.")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Config {json.dumps(self.to_dict(), indent=2, ensure_ascii=False)}"

    def get(self, name: str, default: Any = None) -> Any:
        """Value of ``name`` or of what its architecture calls it, or ``default``."""
        try:
            return self.__getattr__(name)
        except AttributeError:
            return default

    @property
    def num_labels(self) -> int:
        """Number of classes; transformers' default of 2 where config.json names none."""
        labels = self._values.get("id2label")
        if labels:
            return len(labels)
        count = self._values.get("num_labels", 2)
        return count if isinstance(count, int) else 2

    @property
    def id2label(self) -> dict[int, str]:
        """Class index → label; ``LABEL_0`` and so on where config.json names none."""
        labels: dict[int, str] | None = self._values.get("id2label")
        return labels or {index: f"LABEL_{index}" for index in range(self.num_labels)}

    @property
    def label2id(self) -> dict[str, int]:
        """Label → class index."""
        labels: dict[str, int] | None = self._values.get("label2id")
        return labels or {label: index for index, label in self.id2label.items()}

    def to_dict(self) -> dict[str, Any]:
        """A copy of the values."""
        return dict(self._values)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json into ``folder``, which is made if need be."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._values, indent=2, ensure_ascii=False) + "\n"
        (Path(folder) / CONFIG_FILE).write_text(text, encoding="utf-8")


def _labels_by_index(labels: Any, origin: str) -> dict[int, str]:
    try:
        return {int(index): str(label) for index, label in labels.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise CorruptArtifactError(
            f"{origin}: id2label is {str(labels)[:60]!r}; an object of numbers and names was expected."
        ) from error


def _indices_by_label(indices: Any, origin: str) -> dict[str, int]:
    try:
        return {str(label): int(index) for label, index in indices.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise CorruptArtifactError(
            f"{origin}: label2id is {str(indices)[:60]!r}; an object of names and numbers was expected."
        ) from error


class AutoConfig:
    """``AutoConfig.from_pretrained(name)`` as in transformers."""

    @staticmethod
    def from_pretrained(name_or_path: str | Path, **hub_options: Any) -> Config:
        """Read the config of a folder or hub id; see :meth:`Config.from_pretrained`."""
        return Config.from_pretrained(name_or_path, **hub_options)
