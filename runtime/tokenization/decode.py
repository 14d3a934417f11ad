"""Ids to text."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError
from .backend import Backend
from .classes import defaults_of
from .settings import TokenizerSettings
from .vocabulary import Vocabulary

logger = logging.getLogger("headway")

# Source: PreTrainedTokenizerBase.clean_up_tokenization of transformers 5.23.
_CLEAN_UPS = {
    " .": ".",
    " ?": "?",
    " !": "!",
    " ,": ",",
    " ' ": "'",
    " n't": "n't",
    " 'm": "'m",
    " 's": "'s",
    " 've": "'ve",
    " 're": "'re",
}


class TextDecoder(Vocabulary):
    """Turns ids back into text."""

    def __init__(self, backend: Backend, settings: TokenizerSettings) -> None:
        super().__init__(backend, settings)
        self.clean_up_tokenization_spaces = settings.clean_up_tokenization_spaces
        self._cleans_byte_pairs = settings.clean_up_byte_pairs
        self._warned_about_clean_up = False
        spaces_word_ends = defaults_of(settings.class_name).spaces_word_ends
        self._word_end = getattr(backend.rust.model, "end_of_word_suffix", None) if spaces_word_ends else None

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> Any:
        """Text of ids.

        Args:
            token_ids: an id, a list or (seq,) array of ids, or several: a list of lists, or a (batch, seq) array.
            skip_special_tokens: leave special tokens out.
            clean_up_tokenization_spaces: remove spaces before punctuation; the tokenizer's own setting when None.

        Returns:
            A str, or for several sequences a list of them.

        Raises:
            InputTypeError: not ids.
            InputError: a negative id.
        """
        if hasattr(token_ids, "keys"):
            token_ids = token_ids["input_ids"]
        ids = _as_lists(token_ids)
        if isinstance(ids, list) and ids and isinstance(ids[0], list):
            return [self._decode_row(row, skip_special_tokens, clean_up_tokenization_spaces) for row in ids]
        return self._decode_row(ids, skip_special_tokens, clean_up_tokenization_spaces)

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """``decode`` of several sequences, which always returns a list."""
        texts = self.decode(sequences, skip_special_tokens, clean_up_tokenization_spaces)
        return [texts] if isinstance(texts, str) else texts

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Text of tokens."""
        decoder = self._backend.rust.decoder
        return " ".join(tokens) if decoder is None else str(decoder.decode(tokens))

    def clean_up_tokenization(self, text: str) -> str:
        """``text`` without the spaces before punctuation and English contractions."""
        for written, clean in _CLEAN_UPS.items():
            text = text.replace(written, clean)
        return text

    def _decode_row(self, ids: Any, skip_special_tokens: bool, clean_up: bool | None) -> str:
        row = [ids] if isinstance(ids, int) else ids
        try:
            text = self._backend.rust.decode(row, skip_special_tokens=skip_special_tokens)
        except OverflowError:
            bad = next((index for index in row if not 0 <= index < 2**32), None)
            raise InputError(
                f"got the id {bad}: ids to decode are 0 or more. Labels of -100 mean 'ignored': replace them with"
                " pad_token_id first"
            ) from None
        except TypeError:
            raise InputTypeError(
                f"got {ids!r:.80}: decode takes an id (int), a list or array of ids, or a list of lists"
            ) from None
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # a panic of the Rust code is no Exception
                raise
            raise InputError(f"the tokenizer's decoder fails on the ids {ids!r:.80}: {error}") from None
        if self._word_end:
            text = text.replace(self._word_end, " ").strip()
        wanted = self.clean_up_tokenization_spaces if clean_up is None else clean_up
        return self._cleaned(text) if wanted else text

    def _cleaned(self, text: str) -> str:
        """Clean up, except for byte-pair tokenizers, whose spaces belong to the text."""
        if type(self._backend.rust.model).__name__ != "BPE" or self._cleans_byte_pairs:
            return self.clean_up_tokenization(text)
        if not self._warned_about_clean_up:
            self._warned_about_clean_up = True
            logger.warning(
                "Ignoring clean_up_tokenization_spaces=True: this byte-pair tokenizer's spaces before punctuation"
                " belong to the text. Pass clean_up_tokenization_spaces=False to decode without this warning."
            )
        return text


def _as_lists(value: Any) -> Any:
    """Arrays and tuples as lists, numpy integers as ints, at any depth."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        if value and isinstance(value[0], list | tuple | np.ndarray | np.generic):
            return [_as_lists(item) for item in value]
        return list(value)
    return value
