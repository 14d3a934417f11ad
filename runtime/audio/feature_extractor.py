"""What every feature extractor shares: options of preprocessor_config.json, checked waveforms in, model inputs out."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..batch_feature import BatchFeature, require_array_type, stacked
from ..errors import InputError, OptionError
from .padding import Array, Padding
from .waveforms import Waveform, waveform_rows

FEATURE_EXTRACTOR_FILE = "preprocessor_config.json"


class FeatureExtractor(ABC):
    """Turns waveforms into a model's inputs.

    Call it as in transformers: ``feature_extractor(waveform, sampling_rate=16000, return_tensors="np")``. Several
    threads may call one.

    Args:
        options: values that differ from the class's defaults, as preprocessor_config.json has them; what the class does
            not know is kept and written back.

    Raises:
        OptionError: a value of the wrong kind.
    """

    defaults: ClassVar[Mapping[str, Any]]
    """Options that the class reads, with transformers' defaults."""
    main_input: ClassVar[str]
    """Name of the model input that it makes."""
    call_options: ClassVar[frozenset[str]] = frozenset()
    """Options that only a call can set."""
    default_padding: ClassVar[bool | str] = False
    default_truncation: ClassVar[bool] = False
    default_multiple: ClassVar[int | None] = None

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        given = {name: value for name, value in (options or {}).items() if value is not None}
        self.options: dict[str, Any] = {**_SHARED, **self.defaults, **given}
        for name, default in {**_SHARED, **self.defaults}.items():
            _require_kind(type(self).__name__, name, self.options[name], default)
        self.sampling_rate = int(self.options["sampling_rate"])

    def __call__(
        self,
        raw_speech: Any,
        *,
        sampling_rate: int | None = None,
        padding: bool | str | None = None,
        max_length: int | None = None,
        truncation: bool | None = None,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        **options: Any,
    ) -> BatchFeature:
        """Inputs of a model for one waveform or several.

        Args:
            raw_speech: (samples,) numbers, or several of them; one channel, at the model's rate.
            sampling_rate: the rate of the audio in hertz, to be checked against the model's.
            padding: ``"longest"`` or True, ``"max_length"``, False; None takes the class's own choice.
            max_length: for ``padding="max_length"`` and ``truncation``: samples, or frames where frames are padded.
            truncation: cut what is over ``max_length``.
            pad_to_multiple_of: lengths become multiples of this.
            return_attention_mask: give ``attention_mask`` too; None takes the class's own choice.
            return_tensors: ``"np"`` for arrays, None for lists of arrays.
            options: options of the class that this call overrides.

        Raises:
            InputError, InputTypeError: the audio cannot be used, or has another rate.
            OptionError: an option is not there, or a value cannot be used.
        """
        require_array_type(return_tensors)
        self._require_rate(sampling_rate)
        padder = Padding(
            self.default_padding if padding is None else padding,
            max_length or self.default_length,
            self.default_truncation if truncation is None else truncation,
            self.default_multiple if pad_to_multiple_of is None else pad_to_multiple_of,
            self.options["padding_side"],
            float(self.options["padding_value"]),
        )
        asked = self.options["return_attention_mask"] if return_attention_mask is None else return_attention_mask
        features = self.extract(waveform_rows(raw_speech), padder, bool(asked), self._overridden(options))
        if return_tensors is None:
            return BatchFeature(features)
        return BatchFeature({name: stacked(name, rows) for name, rows in features.items()})

    @property
    def default_length(self) -> int | None:
        """``max_length`` where a call gives none."""
        return None

    @abstractmethod
    def extract(
        self, waveforms: Sequence[Waveform], padding: Padding, with_mask: bool, options: Mapping[str, Any]
    ) -> dict[str, list[Array]]:
        """Input name → a row for each waveform; ``attention_mask`` among them where it is asked for."""

    @property
    def model_input_names(self) -> list[str]:
        """Names of the inputs it makes."""
        return [self.main_input, "attention_mask"] if self.options["return_attention_mask"] else [self.main_input]

    def __getattr__(self, name: str) -> Any:
        options = self.__dict__.get("options", {})
        if name in options:
            return options[name]
        raise AttributeError(f"A {type(self).__name__} has no {name!r}.")

    def to_dict(self) -> dict[str, Any]:
        """Its class and options, as preprocessor_config.json has them."""
        return {**self.options, "feature_extractor_type": type(self).__name__}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write preprocessor_config.json into ``folder``, which is made if need be."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"
        (Path(folder) / FEATURE_EXTRACTOR_FILE).write_text(text, encoding="utf-8")

    def __repr__(self) -> str:
        return f"{type(self).__name__} {json.dumps(self.options, indent=2, sort_keys=True)}"

    def _require_rate(self, sampling_rate: int | None) -> None:
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            raise InputError(
                f"The audio has {sampling_rate} samples a second; the model takes {self.sampling_rate}. "
                "Resample it, or give a pipeline {'raw': samples, 'sampling_rate': rate}, which does."
            )

    def _overridden(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        allowed = {*self.defaults, *self.call_options}
        unknown = [name for name in options if name not in allowed and name != "device"]
        if unknown:
            known = ", ".join(sorted(allowed))
            raise OptionError(f"A {type(self).__name__} has no option {', '.join(unknown)}; it has {known}.")
        unset = dict.fromkeys(self.call_options)
        return {**self.options, **unset, **{name: value for name, value in options.items() if value is not None}}


def normalized(waveform: Array, length: int, padding_value: float) -> Array:
    """A waveform with mean 0 and variance 1 over its first ``length`` samples; the rest is filled with a value."""
    result: Array = (waveform - waveform[:length].mean()) / np.sqrt(waveform[:length].var() + 1e-7)
    result[length:] = padding_value
    return result


_SHARED: Mapping[str, Any] = {
    "sampling_rate": 16000,
    "feature_size": 1,
    "padding_value": 0.0,
    "padding_side": "right",
    "return_attention_mask": False,
}


def _require_kind(kind: str, name: str, value: Any, default: Any) -> None:
    if default is None or isinstance(default, bool) is not isinstance(value, bool):
        is_right = default is None
    else:
        numbers = (int, float)
        is_right = isinstance(value, numbers) if isinstance(default, numbers) else isinstance(value, type(default))
    if not is_right or (isinstance(default, int) and not isinstance(default, bool) and value <= 0):
        raise OptionError(f"{name} of the {kind} is {value!r}; a value such as {default!r} is needed.")
