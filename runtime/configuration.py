"""A checkpoint's config.json as an object with transformers' attribute names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .artifact import read_json
from .errors import ArtifactNotFoundError
from .hub import resolve_folder

CONFIG_FILE = "config.json"

# The common name first, then what architectures call it (transformers' `attribute_map` of each configuration class).
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "hidden_size": ("n_embd", "d_model", "dim", "model_dim", "emb_dim"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers", "encoder_layers"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads", "encoder_attention_heads"),
    "max_position_embeddings": ("n_positions", "n_ctx", "max_seq_len"),
    "intermediate_size": ("n_inner", "d_ff", "hidden_dim", "encoder_ffn_dim"),
}


class Config:
    """Values of config.json by attribute.

    ``id2label`` has integer keys and ``label2id`` integer values, as in transformers.

    >>> config = Config({"id2label": {"0": "NEGATIVE", "1": "POSITIVE"}, "dim": 768})
    >>> config.id2label[1], config.num_labels, config.hidden_size
    ('POSITIVE', 2, 768)
    """

    def __init__(self, values: Mapping[str, Any], name_or_path: str = "") -> None:
        self._values: dict[str, Any] = dict(values)
        self.name_or_path = name_or_path
        labels = self._values.get("id2label")
        if isinstance(labels, Mapping):
            self._values["id2label"] = {int(index): label for index, label in labels.items()}

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **hub_options: Any) -> Config:
        """Read config.json of a folder or hub id.

        Raises:
            ArtifactNotFoundError: there is no such folder or no config.json in it.
        """
        folder = resolve_folder(name_or_path, allow_patterns=[CONFIG_FILE], **hub_options)
        path = folder / CONFIG_FILE
        if not path.is_file():
            raise ArtifactNotFoundError(f"{folder} has no {CONFIG_FILE}.")
        return cls(read_json(path), name_or_path=str(name_or_path))

    def __getattr__(self, name: str) -> Any:
        values: dict[str, Any] = self.__dict__.get("_values", {})
        for candidate in (name, *_ALIASES.get(name, ())):
            if candidate in values:
                return values[candidate]
        raise AttributeError(f"This config has no {name!r}.")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Config {json.dumps(self.to_dict(), indent=2, ensure_ascii=False)}"

    def get(self, name: str, default: Any = None) -> Any:
        """Value of ``name``, or ``default``."""
        return getattr(self, name, default)

    @property
    def num_labels(self) -> int:
        """Number of classes; transformers' default of 2 where config.json names none."""
        labels = self._values.get("id2label")
        return len(labels) if labels else int(self._values.get("num_labels", 2))

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


class AutoConfig:
    """``AutoConfig.from_pretrained(name)`` as in transformers."""

    @staticmethod
    def from_pretrained(name_or_path: str | Path, **hub_options: Any) -> Config:
        """Read the config of a folder or hub id; see :meth:`Config.from_pretrained`."""
        return Config.from_pretrained(name_or_path, **hub_options)
