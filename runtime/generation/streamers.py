"""Streamers in transformers' shape: generate() puts tokens in, text comes out by callback or by iterator.

Source of the protocol: transformers 5.23, generation/streamers.py. ``put`` takes the prompt first and then each new
token; ``end`` is called once at the end.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .stream import IncrementalDecoder, StopStringFilter

OnText = Callable[[str], Any]


class TextStreamer:
    """Hands text on as soon as it is certain, to standard output or to a callback."""

    def __init__(
        self,
        tokenizer: Any,
        skip_prompt: bool = False,
        *,
        callback: OnText | None = None,
        stop_strings: Sequence[str] = (),
        **decode_options: Any,
    ) -> None:
        """Set up.

        Args:
            tokenizer: with ``decode``.
            skip_prompt: leave the prompt out.
            callback: called with each piece of text, none empty; None writes to standard output.
            stop_strings: the text ends before the first of these; pass what generate() got as ``stop_strings``.
            decode_options: for ``tokenizer.decode``, such as ``skip_special_tokens=True``.
        """
        self._skip_prompt = skip_prompt
        self._callback = callback
        self._decoder = IncrementalDecoder.for_tokenizer(tokenizer, **decode_options)
        self._stop = StopStringFilter(stop_strings)
        self._stop_strings = stop_strings
        self._next_is_prompt = True

    @property
    def is_closed(self) -> bool:
        """Whether generate() should stop because nobody reads any more; never here."""
        return False

    def put(self, value: ArrayLike) -> None:
        """Take the prompt, or new tokens: (tokens,) or (1, tokens) integers.

        Raises:
            InputError: more than one row.
        """
        tokens = np.asarray(value)
        if tokens.ndim > 1 and len(tokens) > 1:
            raise InputError(f"A streamer follows one sequence; got {len(tokens)}. Generate one prompt at a time.")
        is_prompt, self._next_is_prompt = self._next_is_prompt, False
        if is_prompt and self._skip_prompt:
            return
        for token in tokens.reshape(-1).tolist():
            text = self._decoder.decode(token)
            # A prompt may hold stop strings, as a chat does; only the answer ends at one.
            self._hand_on(text if is_prompt else self._stop.push(text))

    def end(self) -> None:
        """Hand on the rest, and be ready for another generation."""
        self._hand_on(self._stop.push(self._decoder.flush()) + self._stop.flush())
        self.on_finalized_text("", stream_end=True)
        self._stop = StopStringFilter(self._stop_strings)
        self._next_is_prompt = True

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Take a piece of text; override it to do something else with it.

        Args:
            text: the piece; empty at the end.
            stream_end: whether the generation is over.
        """
        if self._callback is None:
            sys.stdout.write("\n" if stream_end else text)
            sys.stdout.flush()
        elif text:
            self._callback(text)

    def _hand_on(self, text: str) -> None:
        if text:
            self.on_finalized_text(text)


class TextIteratorStreamer(TextStreamer):
    """Iterator over the text of a generation that runs in another thread.

    Use it as a context manager, or call :meth:`close` when leaving early: generate() then stops at the next token. An
    error of the generation comes out of the iterator if the thread hands it to :meth:`fail`;
    :func:`stream_in_background` does all of that.
    """

    def __init__(
        self,
        tokenizer: Any,
        skip_prompt: bool = False,
        timeout: float | None = None,
        *,
        stop_strings: Sequence[str] = (),
        **decode_options: Any,
    ) -> None:
        """Set up.

        Args:
            tokenizer: with ``decode``.
            skip_prompt: leave the prompt out.
            timeout: seconds to wait for the next piece, then ``queue.Empty``; None waits for ever.
            stop_strings: as for :class:`TextStreamer`.
            decode_options: for ``tokenizer.decode``.
        """
        super().__init__(tokenizer, skip_prompt, stop_strings=stop_strings, **decode_options)
        self._timeout_s = timeout
        self._pieces: queue.SimpleQueue[str | _End] = queue.SimpleQueue()
        self._closed = threading.Event()

    @property
    def is_closed(self) -> bool:
        """Whether the reader has left."""
        return self._closed.is_set()

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Queue a piece, or the end."""
        if self.is_closed:
            return
        self._pieces.put(_End(None) if stream_end else text)

    def fail(self, error: BaseException) -> None:
        """End the iteration with an error, which the reader gets."""
        self._pieces.put(_End(error))

    def close(self) -> None:
        """Leave: generate() stops at its next token, and the iteration ends."""
        self._closed.set()
        self._pieces.put(_End(None))

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        piece = self._pieces.get(timeout=self._timeout_s)
        if isinstance(piece, str):
            return piece
        self._pieces.put(_End(None))  # asked again, it is still at its end
        if piece.error is not None:
            raise piece.error
        raise StopIteration

    def __enter__(self) -> TextIteratorStreamer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def stream_in_background(run: Callable[[TextIteratorStreamer], Any], streamer: TextIteratorStreamer) -> Iterator[str]:
    """Run a generation in a thread and give its text as it comes.

    An error of ``run`` is raised here. Leaving the loop early stops the generation at its next token.

    Args:
        run: calls generate() with ``streamer=``.
        streamer: a fresh one.
    """

    def work() -> None:
        try:
            run(streamer)
        except BaseException as error:
            streamer.fail(error)
        else:
            streamer.close()

    thread = threading.Thread(target=work, name="headway-generate", daemon=True)
    thread.start()
    try:
        yield from streamer
    finally:
        streamer.close()
        thread.join()


class _End:
    """Marks the end of the pieces."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
