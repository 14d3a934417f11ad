"""Messages between processes: what is said at once goes together, nothing overtakes, nobody waits."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest

from headway.runtime.server.workers.channel import Channel


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    channels = tuple(Channel(Connection(each.detach())) for each in socket.socketpair())
    yield channels
    for channel in channels:
        channel.close()


def test_what_is_posted_in_one_turn_of_a_loop_is_written_at_once(ends, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = ends
    written: list[int] = []
    send_bytes = here._connection.send_bytes
    monkeypatch.setattr(here._connection, "send_bytes", lambda data: written.append(len(data)) or send_bytes(data))

    async def post(numbers: range) -> None:
        for number in numbers:
            here.post(number)

    async def turns() -> None:
        await asyncio.gather(*(post(range(first, first + 10)) for first in (0, 10, 20)))
        await asyncio.sleep(0)
        assert len(written) == 1
        here.post(30)
        await asyncio.sleep(0)

    asyncio.run(turns())
    assert len(written) == 2
    received = there.messages()
    assert [next(received) for _ in range(31)] == list(range(31))


def test_without_a_loop_a_message_is_written_now(ends) -> None:
    here, there = ends
    here.post("now")
    assert there.receive() == "now"


def test_nobody_waits_for_who_does_not_read_and_nothing_overtakes(ends) -> None:
    here, there = ends
    messages = [(number, "x" * (100_000 if number % 3 else 10)) for number in range(30)]
    for message in messages:
        here.post(message)
    received = there.messages()
    assert [next(received) for _ in messages] == messages


def test_a_message_that_cannot_travel_is_its_sender_s_alone(ends) -> None:
    here, there = ends

    async def post() -> None:
        here.post("before")
        with pytest.raises((TypeError, AttributeError)):
            here.post(threading.Lock())
        here.post("after")
        await asyncio.sleep(0)

    asyncio.run(post())
    received = there.messages()
    assert [next(received), next(received)] == ["before", "after"]


def test_posting_to_who_is_gone_is_no_error(ends) -> None:
    here, there = ends
    there.hang_up()
    there.close()
    for _ in range(3):
        here.post("lost")
    assert list(here.messages()) == []
    here.close()

    async def post() -> None:
        here.post("lost")
        await asyncio.sleep(0)

    asyncio.run(post())
