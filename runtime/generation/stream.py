"""Text from tokens as they come: pieces that never split a character and add up to the text of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .stop_strings import is_byte_token

DecodeTokens = Callable[[list[int]], str]

_REPLACEMENT = "\ufffd"
_MAX_WINDOW = 48
_KEPT_WINDOW = 16
# The longest stretch that the cleaning of spaces before punctuation (" n't") can still change.
_CLEANED_CHARACTERS = 8


class IncrementalDecoder:
    r"""Decodes one token at a time.

    The pieces of :meth:`decode` and :meth:`flush`, joined, are the text that the tokenizer makes of all tokens at
    once. A piece is held back while later tokens can change it: an unfinished character, a run of byte tokens, spaces
    that the tokenizer may clean away. Only the last tokens are decoded again, so a long text costs no more per token
    than a short one.

    >>> bytes_of = {1: b"a", 2: b"\xe2\x82", 3: b"\xac"}
    >>> decoder = IncrementalDecoder(lambda ids: b"".join(map(bytes_of.get, ids)).decode(errors="replace"))
    >>> [decoder.decode(token) for token in (1, 2, 3)]
    ['a', '', '€']
    """

    def __init__(
        self,
        decode_tokens: DecodeTokens,
        *,
        is_unfinished: Callable[[int], bool] | None = None,
        num_held_characters: int = 0,
    ) -> None:
        """Begin an empty text.

        Args:
            decode_tokens: text of a list of token ids, with special tokens left out or not as wanted.
            is_unfinished: whether the text of a token may depend on the next one, as that of a byte token does.
            num_held_characters: how many characters at the end later tokens can change.
        """
        self._decode_tokens = decode_tokens
        self._is_unfinished = is_unfinished
        self._num_held_characters = num_held_characters
        self._window: list[int] = []
        self._num_given = 0
        self._is_in_run = False

    @classmethod
    def for_tokenizer(cls, tokenizer: Any, **decode_options: Any) -> IncrementalDecoder:
        """Decoder of a tokenizer.

        Args:
            tokenizer: with ``decode(ids, **decode_options) -> str``; where it has a ``tokenizers.Tokenizer`` as
                ``backend_tokenizer``, runs of byte tokens are recognised.
            decode_options: such as ``skip_special_tokens=True``.
        """
        backend = getattr(tokenizer, "backend_tokenizer", tokenizer)

        def is_unfinished(token_id: int) -> bool:
            return is_byte_token(backend.id_to_token(token_id) or "")

        return cls(
            lambda ids: str(tokenizer.decode(ids, **decode_options)),
            is_unfinished=is_unfinished if hasattr(backend, "id_to_token") else None,
            num_held_characters=_CLEANED_CHARACTERS if _cleans_up(tokenizer, backend, decode_options) else 0,
        )

    def decode(self, token_id: int) -> str:
        """Add a token; the text that is now certain, perhaps none."""
        self._window.append(token_id)
        self._is_in_run = self._continues_run(token_id)
        if self._is_in_run:
            return ""
        text = self._decode_tokens(self._window)
        piece = self._give(text, len(text.rstrip(_REPLACEMENT)) - self._num_held_characters)
        if len(self._window) > _MAX_WINDOW:
            self._shorten(text)
        return piece

    def flush(self) -> str:
        """The text held back, at the end of the tokens; then the decoder is empty again."""
        text = self._decode_tokens(self._window) if self._window else ""
        piece = self._give(text, len(text))
        self._window, self._num_given, self._is_in_run = [], 0, False
        return piece

    def _continues_run(self, token_id: int) -> bool:
        """Whether the text may still change with the next token; a special token that is left out ends no run."""
        if self._is_unfinished is None:
            return False
        return self._is_unfinished(token_id) or (self._is_in_run and not self._decode_tokens([token_id]))

    def _give(self, text: str, end: int) -> str:
        piece = text[self._num_given : max(end, 0)]
        self._num_given += len(piece)
        return piece

    def _shorten(self, text: str) -> None:
        """Forget the oldest tokens, where the rest decodes to the same end of the text."""
        rest = self._window[-_KEPT_WINDOW:]
        rest_text = self._decode_tokens(rest)
        num_given = len(rest_text) - (len(text) - self._num_given)
        if num_given > 0 and text.endswith(rest_text):
            self._window, self._num_given = rest, num_given


class StopStringFilter:
    """Lets text through up to the first stop string, and holds back what may be the beginning of one.

    >>> stop = StopStringFilter(["END"])
    >>> [stop.push(piece) for piece in ("one E", "N two EN", "D three")], stop.is_stopped
    (['one ', 'EN two ', ''], True)
    """

    def __init__(self, stop_strings: Sequence[str] = ()) -> None:
        self._stops = [stop for stop in stop_strings if stop]
        self._held = ""
        self.is_stopped = False

    def push(self, text: str) -> str:
        """Add text; what can be passed on, without the stop string and what follows it."""
        if self.is_stopped:
            return ""
        text = self._held + text
        found = [position for position in map(text.find, self._stops) if position >= 0]
        if found:
            self.is_stopped, self._held = True, ""
            return text[: min(found)]
        num_held = max((_num_begun(text, stop) for stop in self._stops), default=0)
        passed, self._held = text[: len(text) - num_held], text[len(text) - num_held :]
        return passed

    def flush(self) -> str:
        """The text held back, when no more comes."""
        held, self._held = self._held, ""
        return held


def stream_text(
    token_ids: Iterable[int], decoder: IncrementalDecoder, stop_strings: Sequence[str] = ()
) -> Iterator[str]:
    """Pieces of text as tokens arrive, none of them empty.

    Args:
        token_ids: the tokens of one row; not read beyond the one that completes a stop string.
        decoder: a fresh one.
        stop_strings: the text ends before the first of these.
    """
    stop = StopStringFilter(stop_strings)
    for token_id in token_ids:
        if piece := stop.push(decoder.decode(token_id)):
            yield piece
        if stop.is_stopped:
            return
    if piece := stop.push(decoder.flush()) + stop.flush():
        yield piece


def _cleans_up(tokenizer: Any, backend: Any, decode_options: dict[str, Any]) -> bool:
    """Whether decoding removes spaces before punctuation; byte-pair tokenizers do not, whatever they are told."""
    wanted = decode_options.get("clean_up_tokenization_spaces")
    if wanted is None:
        wanted = getattr(tokenizer, "clean_up_tokenization_spaces", False)
    return bool(wanted) and type(getattr(backend, "model", None)).__name__ != "BPE"


def _num_begun(text: str, stop: str) -> int:
    """How many characters at the end of ``text`` begin ``stop``."""
    longest = min(len(stop) - 1, len(text))
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
