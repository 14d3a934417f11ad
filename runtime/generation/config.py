"""GenerationConfig: transformers' generation options under their own names."""

from __future__ import annotations

import copy
import difflib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..artifact import read_json
from ..errors import ArtifactNotFoundError, OptionError
from ..hub import resolve_folder
from .config_options import GENERATE_ARGUMENTS, OPTIONS, REFUSED

GENERATION_CONFIG_FILE = "generation_config.json"
_MODEL_CONFIG_FILE = "config.json"
_METADATA = frozenset({"_from_model_config", "_commit_hash", "_original_object_hash"})
_DECODER_CONFIGS = ("decoder", "generator", "text_config")

logger = logging.getLogger(__name__)


class GenerationConfig:
    """Options of one generation, or a model's own defaults; None means not set.

    Names and meanings are transformers' (generation/configuration_utils.py); ``seed`` is Headway's. An option that does
    not exist, or that Headway refuses, is an error that names it. A model's file may hold more than that
    (``lang_to_id`` of Whisper, …): it is kept in ``extra``, read by attribute and written back.

    >>> config = GenerationConfig(do_sample=True, top_k=20)
    >>> config.top_k, config.top_p
    (20, None)
    """

    max_length: int | None = None
    max_new_tokens: int | None = None
    min_length: int | None = None
    min_new_tokens: int | None = None
    early_stopping: bool | Literal["never"] | None = None
    max_time: float | None = None
    stop_strings: str | list[str] | None = None
    do_sample: bool | None = None
    num_beams: int | None = None
    use_cache: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    top_h: float | None = None
    typical_p: float | None = None
    epsilon_cutoff: float | None = None
    eta_cutoff: float | None = None
    repetition_penalty: float | None = None
    encoder_repetition_penalty: float | None = None
    length_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    encoder_no_repeat_ngram_size: int | None = None
    bad_words_ids: list[list[int]] | None = None
    sequence_bias: list[Any] | dict[tuple[int, ...], float] | None = None
    renormalize_logits: bool | None = None
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | list[int] | None = None
    remove_invalid_values: bool | None = None
    exponential_decay_length_penalty: tuple[int, float] | list[Any] | None = None
    suppress_tokens: list[int] | None = None
    begin_suppress_tokens: list[int] | None = None
    num_return_sequences: int | None = None
    output_scores: bool | None = None
    output_logits: bool | None = None
    return_dict_in_generate: bool | None = None
    pad_token_id: int | None = None
    bos_token_id: int | list[int] | None = None
    eos_token_id: int | list[int] | None = None
    decoder_start_token_id: int | list[int] | None = None
    prompt_lookup_num_tokens: int | None = None
    max_matching_ngram_size: int | None = None
    seed: int | Sequence[int] | None = None

    extra: dict[str, Any]
    explicit: frozenset[str]

    def __init__(self, **options: Any) -> None:
        object.__setattr__(self, "extra", {})
        object.__setattr__(self, "explicit", frozenset())
        for name in OPTIONS:
            object.__setattr__(self, name, None)
        for name, value in options.items():
            check_option(name, value)
            setattr(self, name, value)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            extra = self.__dict__.get("extra", {})
            if name in extra:
                return extra[name]
            if name in REFUSED:
                return None
            raise AttributeError(f"GenerationConfig has no option {name!r}.")

    def __setattr__(self, name: str, value: Any) -> None:
        value = value.item() if isinstance(value, np.generic) else value
        if name in OPTIONS or name in ("extra", "explicit"):
            object.__setattr__(self, name, value)
        elif name in REFUSED or name in self.extra:
            self.extra[name] = value
        else:
            raise OptionError(_unknown(name, self.extra))

    def __repr__(self) -> str:
        return f"GenerationConfig {json.dumps(self.to_diff_dict(), indent=2, sort_keys=True)}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenerationConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **options: Any) -> GenerationConfig:
        """Config from a file's values, with ``options`` of the caller on top.

        What the file holds beyond Headway's options is kept in ``extra``; an unknown name in ``options`` is an
        OptionError. Values of a file are checked when they are used, so that a model whose file is off can be loaded.
        """
        config = cls()
        known = {name: value for name, value in values.items() if name in OPTIONS}
        for name, value in known.items():
            object.__setattr__(config, name, value)
        config.extra = {name: value for name, value in values.items() if name not in known and name not in _METADATA}
        if config.extra:
            logger.debug("Kept without using: %s.", ", ".join(sorted(config.extra)))
        for name, value in options.items():
            check_option(name, value, config.extra)
            setattr(config, name, value)
        return config

    @classmethod
    def from_model_config(cls, values: Mapping[str, Any]) -> GenerationConfig:
        """Config from the generation options that older checkpoints keep in config.json, or in its decoder's part."""
        found = {name: value for name, value in values.items() if name in OPTIONS and value is not None}
        for inner in [values[name] for name in _DECODER_CONFIGS if isinstance(values.get(name), Mapping)][:1]:
            found = {name: value for name, value in inner.items() if name in OPTIONS and value is not None} | found
        if values.get("force_bos_token_to_be_generated"):
            found["forced_bos_token_id"] = found.get("bos_token_id")
        return cls.from_dict(found)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        config_file_name: str | None = None,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        subfolder: str | None = None,
        **options: Any,
    ) -> GenerationConfig:
        """Config of a folder or hub id, with ``options`` on top.

        Reads generation_config.json, and where there is none config.json, as transformers does when it loads a model.

        Raises:
            ArtifactNotFoundError: neither file is there.
            OptionError: an option that does not exist.
        """
        wanted = [config_file_name] if config_file_name else [GENERATION_CONFIG_FILE, _MODEL_CONFIG_FILE]
        folder = resolve_folder(
            name_or_path,
            subfolder=subfolder,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            token=token,
            allow_patterns=wanted,
        )
        path = next((folder / name for name in wanted if (folder / name).is_file()), None)
        if path is None:
            raise ArtifactNotFoundError(f"{folder} has no {' and no '.join(wanted)}.")
        values = read_json(path)
        if path.name == _MODEL_CONFIG_FILE:
            values = cls.from_model_config(values).to_diff_dict()
        return cls.from_dict(values, **options)

    def save_pretrained(self, folder: str | Path, config_file_name: str = GENERATION_CONFIG_FILE) -> None:
        """Write what is set into ``folder``/generation_config.json; the folder is made if need be."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_diff_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        (Path(folder) / config_file_name).write_text(text, encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """Every option, set or not, and what else the file held; a copy that json can write."""
        values = {name: getattr(self, name) for name in OPTIONS}
        if isinstance(self.sequence_bias, Mapping):
            values["sequence_bias"] = [[list(ids), bias] for ids, bias in self.sequence_bias.items()]
        return copy.deepcopy(values | self.extra)

    def to_diff_dict(self) -> dict[str, Any]:
        """What is set, as :meth:`to_dict` gives it."""
        return {name: value for name, value in self.to_dict().items() if value is not None}

    def copy(self) -> GenerationConfig:
        """An independent copy."""
        return copy.deepcopy(self)

    def update(self, **options: Any) -> dict[str, Any]:
        """Set the options that exist, and give back the ones that do not.

        Raises:
            OptionError: a value that its option does not take.
        """
        unused: dict[str, Any] = {}
        for name, value in options.items():
            if name in OPTIONS or name in REFUSED or name in self.extra:
                check_option(name, value, self.extra)
                setattr(self, name, value)
            else:
                unused[name] = value
        return unused

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """The end-of-sequence ids, none, one or several."""
        if self.eos_token_id is None:
            return ()
        return tuple(self.eos_token_id) if isinstance(self.eos_token_id, (list, tuple)) else (self.eos_token_id,)

    @property
    def fill_token_id(self) -> int | None:
        """What follows a finished row: ``pad_token_id``, or the first end-of-sequence id where it is not set."""
        if self.pad_token_id is not None:
            return self.pad_token_id
        return self.eos_token_ids[0] if self.eos_token_ids else None


def check_option(name: str, value: Any, extra: Mapping[str, Any] = {}) -> None:
    """Refuse an option that does not exist, that Headway does not have, or whose value is not allowed.

    Args:
        name: the option.
        value: its value; None is always fine.
        extra: further names that the model's own file introduced.

    Raises:
        OptionError: names the option, what was got and what is allowed.
    """
    if name in REFUSED:
        if value not in REFUSED[name].neutral:
            raise OptionError(f"{name}={value!r} is not available: {REFUSED[name].reason}.")
    elif name in OPTIONS:
        if value is not None and not OPTIONS[name].is_valid(value):
            raise OptionError(f"{name}={value!r} is not allowed; {name} takes {OPTIONS[name].allowed}.")
    elif name not in extra:
        raise OptionError(_unknown(name, extra))


def _unknown(name: str, extra: Mapping[str, Any]) -> str:
    if name in GENERATE_ARGUMENTS:
        return f"{name} is an argument of generate(), not of GenerationConfig; pass it to generate()."
    close = difflib.get_close_matches(name, [*OPTIONS, *extra], n=3)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"The options are {', '.join(sorted(OPTIONS))}."
    return f"There is no generation option {name!r}. {hint}"
