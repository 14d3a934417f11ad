"""The text of a generation for code that awaits: another thread generates, the event loop never waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from .streamers import TextStreamer


class AsyncTextIteratorStreamer(TextStreamer):
    """Asynchronous iterator over the text of a generation that runs in another thread.

    Make it where it is read, inside a running event loop. Call :meth:`close` when leaving early: generate() then stops
    at the next token. An error of the generation comes out of the iterator if the thread hands it to :meth:`fail`.

    Source of the name and arguments: transformers 5.23, generation/streamers.py.
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
            timeout: seconds to wait for the next piece, then ``TimeoutError``; None waits for ever.
            stop_strings: as for :class:`TextStreamer`.
            decode_options: for ``tokenizer.decode``.

        Raises:
            RuntimeError: no event loop is running.
        """
        super().__init__(tokenizer, skip_prompt, stop_strings=stop_strings, **decode_options)
        self._timeout_s = timeout
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[str | _End] = asyncio.Queue()
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the reader has left."""
        return self._is_closed

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Hand a piece, or the end, to the event loop."""
        if not self._is_closed:
            self._put(_End(None) if stream_end else text)

    def fail(self, error: BaseException) -> None:
        """End the iteration with an error, which the reader gets after the pieces before it."""
        self._put(_End(error))

    def close(self) -> None:
        """Leave: generate() stops at its next token, and the iteration ends."""
        self._is_closed = True
        self._put(_End(None))

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        piece = await asyncio.wait_for(self._pieces.get(), self._timeout_s)
        if isinstance(piece, str) and not self._is_closed:
            return piece
        self._pieces.put_nowait(_End(None))  # asked again, it is still at its end
        if isinstance(piece, _End) and piece.error is not None:
            raise piece.error
        raise StopAsyncIteration

    def _put(self, piece: str | _End) -> None:
        # A generation may outlive the loop that its reader left.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)


@dataclass(frozen=True)
class _End:
    """Marks the end of the pieces."""

    error: BaseException | None
