"""The asynchronous streamer: pieces in order, errors, leaving early, time out."""

import asyncio

import numpy as np
import pytest

from headway.runtime import AsyncTextIteratorStreamer
from headway.runtime.errors import InputError

WORDS = ["one", " two", " three"]


class Words:
    """A tokenizer of three words."""

    def decode(self, ids, **options):
        return "".join(WORDS[token] for token in ids)


async def read(run, **options):
    """Pieces of a generation in a thread; they are read while it runs."""
    streamer = AsyncTextIteratorStreamer(Words(), **options)

    def work():
        try:
            run(streamer)
        except InputError as error:
            streamer.fail(error)

    task = asyncio.create_task(asyncio.to_thread(work))
    pieces = []
    try:
        async for piece in streamer:
            pieces.append(piece)
    finally:
        await task
    return pieces


def put(streamer, *tokens):
    for token in tokens:
        streamer.put(np.array([token]))


def test_pieces_in_order_without_the_prompt():
    def run(streamer):
        put(streamer, 0, 1, 2)
        streamer.end()

    assert asyncio.run(read(run)) == WORDS
    assert asyncio.run(read(run, skip_prompt=True)) == WORDS[1:]


def test_an_error_comes_after_the_pieces_before_it():
    async def check():
        streamer = AsyncTextIteratorStreamer(Words())
        put(streamer, 0)
        streamer.fail(InputError("broken"))
        assert await anext(streamer) == "one"
        with pytest.raises(InputError, match="broken"):
            await anext(streamer)
        with pytest.raises(StopAsyncIteration):
            await anext(streamer)

    asyncio.run(check())


def test_closing_ends_the_iteration_and_the_generation():
    async def check():
        streamer = AsyncTextIteratorStreamer(Words())
        put(streamer, 0, 1)
        assert await anext(streamer) == "one"
        streamer.close()
        assert streamer.is_closed
        assert [piece async for piece in streamer] == []

    asyncio.run(check())


def test_a_slow_generation_times_out():
    async def check():
        with pytest.raises(TimeoutError):
            await anext(AsyncTextIteratorStreamer(Words(), timeout=0.01))

    asyncio.run(check())


def test_the_reader_may_be_gone_before_the_generation():
    async def make():
        return AsyncTextIteratorStreamer(Words())

    streamer = asyncio.run(make())
    put(streamer, 0)
    streamer.end()
