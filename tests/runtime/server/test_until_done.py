"""Waiting for a result while the client stays, in this server's protocol and in any other ASGI server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from headway.runtime.server.faults import TimedOutError
from headway.runtime.server.http import ClientGoneError, until_done


class Client:
    """A client that leaves when it is told to."""

    def __init__(self, knows_watch: bool) -> None:
        self._gone = asyncio.Event()
        self.watchers: list[Callable[[], None] | None] = []
        self.scope: dict[str, Any] = {"headway.watch": self.watchers.append} if knows_watch else {}

    async def receive(self) -> dict[str, str]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    def leave(self) -> None:
        self._gone.set()
        if self.watchers and self.watchers[-1] is not None:
            self.watchers[-1]()


@pytest.mark.parametrize("knows_watch", [True, False], ids=["watched", "asked"])
class TestWaiting:
    def test_a_result_comes(self, knows_watch: bool) -> None:
        async def wait() -> None:
            client = Client(knows_watch)
            future = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.01, future.set_result, 5)
            assert await until_done(future, client.scope, client.receive, 10) == 5
            assert client.watchers[1:] == ([None] if knows_watch else [])
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 1

        asyncio.run(wait())

    @pytest.mark.parametrize("is_task", [True, False], ids=["task", "future"])
    @pytest.mark.parametrize("leaves", [True, False], ids=["leaves", "too-long"])
    def test_nothing_comes(self, knows_watch: bool, is_task: bool, leaves: bool) -> None:
        async def wait() -> None:
            client = Client(knows_watch)
            loop = asyncio.get_running_loop()
            future = loop.create_task(asyncio.sleep(60)) if is_task else loop.create_future()
            if leaves:
                loop.call_later(0.01, client.leave)
            with pytest.raises(ClientGoneError if leaves else TimedOutError):
                await until_done(future, client.scope, client.receive, 10 if leaves else 0.01)
            assert future.cancelled()
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 1

        asyncio.run(wait())

    def test_an_error_comes(self, knows_watch: bool) -> None:
        async def wait() -> None:
            client = Client(knows_watch)
            future = asyncio.get_running_loop().create_future()
            future.set_exception(ValueError("no"))
            with pytest.raises(ValueError, match="no"):
                await until_done(future, client.scope, client.receive, 10)

        asyncio.run(wait())

    def test_who_waits_is_cancelled(self, knows_watch: bool) -> None:
        async def wait() -> None:
            client = Client(knows_watch)
            future = asyncio.get_running_loop().create_future()
            waiting = asyncio.ensure_future(until_done(future, client.scope, client.receive, 10))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert future.cancelled()

        asyncio.run(wait())
