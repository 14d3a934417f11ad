"""Processors of speech models: a feature extractor and a tokenizer under one name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..errors import InputError
from ..tokenization.tokenizer import AutoTokenizer, Tokenizer
from .auto import AutoFeatureExtractor
from .feature_extractor import FeatureExtractor


class SpeechProcessor:
    """What a speech model needs beside its graph, called as transformers' processors are.

    Args:
        feature_extractor: waveforms to inputs.
        tokenizer: ids to text.
    """

    def __init__(self, feature_extractor: FeatureExtractor, tokenizer: Tokenizer) -> None:
        self.feature_extractor = feature_extractor
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **options: Any) -> Self:
        """Both parts of a folder or hub id; ``options`` are those of the hub, ``revision``, ``token`` and the like."""
        feature_extractor = AutoFeatureExtractor.from_pretrained(name_or_path, **options)
        return cls(feature_extractor, AutoTokenizer.from_pretrained(name_or_path, **options))

    def __call__(self, audio: Any = None, text: Any = None, **options: Any) -> Any:
        """Inputs for audio, ids for text, or inputs with the text's ids as ``labels``.

        Args:
            audio: see :class:`~headway.runtime.audio.feature_extractor.FeatureExtractor`.
            text: a text or a list of them.
            options: of the feature extractor where there is audio, else of the tokenizer.

        Raises:
            InputError, InputTypeError: neither is given, or one cannot be used.
        """
        if audio is None and text is None:
            raise InputError("The processor got neither audio nor text; pass one of them, or both.")
        if audio is None:
            return self.tokenizer(text, **options)
        features = self.feature_extractor(audio, **options)
        if text is not None:
            features["labels"] = self.tokenizer(text)["input_ids"]
        return features

    def decode(self, token_ids: Any, **options: Any) -> Any:
        """Text of ids; see :meth:`Tokenizer.decode`."""
        return self.tokenizer.decode(token_ids, **options)

    def batch_decode(self, sequences: Any, **options: Any) -> list[str]:
        """Texts of several sequences; see :meth:`Tokenizer.batch_decode`."""
        return self.tokenizer.batch_decode(sequences, **options)

    def get_prompt_ids(self, text: str, return_tensors: str | None = "np") -> Any:
        """Ids of a text that goes before a transcription, for Whisper's ``prompt_ids``.

        Raises:
            InputError: the text holds a special token.
        """
        batch = self.tokenizer("<|startofprev|>", f" {text.strip()}", add_special_tokens=False)
        ids: Any = batch["input_ids"]
        special = set(self.tokenizer.all_special_ids)
        found = next((token for token in ids[1:] if token in special), None)
        if found is not None:
            token = self.tokenizer.convert_ids_to_tokens(found)
            raise InputError(f"The prompt holds the special token {token}; leave it out.")
        if return_tensors is None:
            return ids
        return np.array(ids, dtype=np.int64)

    @property
    def model_input_names(self) -> list[str]:
        """Names of the inputs it makes of audio."""
        return self.feature_extractor.model_input_names

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the files of both parts into ``folder``."""
        self.feature_extractor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def to_dict(self) -> Mapping[str, Any]:
        """Options of the feature extractor."""
        return self.feature_extractor.to_dict()
