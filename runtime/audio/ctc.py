"""CTC decoding: a token for each frame to text, with the frames of each character or word.

Source: transformers 5.23, models/wav2vec2/tokenization_wav2vec2.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from ..tokenization.tokenizer import Tokenizer


@dataclass(frozen=True)
class Piece:
    """A character or word, and its frames: the first one, and the first one after it."""

    text: str
    start: int
    end: int


class CtcDecoder:
    """Best-path decoding: equal neighbours are one character, blanks are none.

    Args:
        tokenizer: of the model; ``pad_token`` is the blank.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        settings = tokenizer.init_kwargs
        self._tokenizer = tokenizer
        self._blank = tokenizer.pad_token
        self._delimiter = settings.get("word_delimiter_token")
        self._space = str(settings.get("replace_word_delimiter_char") or " ")
        self._lowers = bool(settings.get("do_lower_case"))

    @property
    def has_words(self) -> bool:
        """Whether the vocabulary is one of characters with a mark between words, so that frames can be told."""
        return self._delimiter is not None

    def text(self, ids: Sequence[int]) -> str:
        """Text of one token for each frame, (frames,) ids."""
        if not self.has_words:
            blank = self._tokenizer.pad_token_id
            collapsed = [token for token, _ in groupby(ids) if token != blank]
            return str(self._tokenizer.decode(collapsed, skip_special_tokens=True))
        text = "".join(piece.text for piece in self.characters(ids)).strip()
        text = text.lower() if self._lowers else text
        return self._tokenizer.clean_up_tokenization(text) if self._tokenizer.clean_up_tokenization_spaces else text

    def characters(self, ids: Sequence[int]) -> list[Piece]:
        """Characters of (frames,) ids, spaces among them."""
        # An id beyond the vocabulary has no text.
        tokens = [token or "" for token in self._tokenizer.convert_ids_to_tokens(list(ids))]
        pieces, start = [], 0
        for token, group in groupby(tokens):
            end = start + len(list(group))
            if token != self._blank:
                pieces.append(Piece(self._space if token == self._delimiter else token, start, end))
            start = end
        return pieces

    def words(self, ids: Sequence[int]) -> list[Piece]:
        """Words of (frames,) ids."""
        words = []
        for is_space, group in groupby(self.characters(ids), key=lambda piece: piece.text == self._space):
            if not is_space:
                letters = list(group)
                words.append(Piece("".join(piece.text for piece in letters), letters[0].start, letters[-1].end))
        return words
