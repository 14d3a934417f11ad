"""What every endpoint works with: settings, models, measurements, and the way to the worker threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from .bridge import Bridge
from .metrics import ServerMetrics
from .registry import ModelRegistry
from .settings import ServerSettings
from .tracing import Tracing, tracing_from_environment

logger = logging.getLogger("headway")

Result = TypeVar("Result")

_NUM_PROMPT_THREADS = 2


class Server:
    """The parts of one server.

    Args:
        folders: name → artifact folder.
        settings: limits.
        tracing: of requests; None does what the environment asks for.
    """

    def __init__(self, folders: Mapping[str, Path], settings: ServerSettings, tracing: Tracing | None = None) -> None:
        self.settings = settings
        # Rounds are observed by threads that start before there is anything to observe.
        self.registry = ModelRegistry(folders, settings, lambda *counts: self.metrics.observe_round(*counts))
        self.metrics = ServerMetrics(lambda: self.registry.served, lambda: self.num_requests)
        self.tracing = tracing_from_environment() if tracing is None else tracing
        self.is_stopping = False
        self.num_requests = 0
        self._prompts = concurrent.futures.ThreadPoolExecutor(_NUM_PROMPT_THREADS, thread_name_prefix="headway-prompt")
        self._bridge: Bridge | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def bridge(self) -> Bridge:
        """The way to the worker threads and back, in the running loop."""
        if self._bridge is None:
            self._bridge = Bridge(asyncio.get_running_loop())
        return self._bridge

    async def in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """What a function gives that takes too long for the loop: templates, tokenizers, grammars."""
        return await asyncio.get_running_loop().run_in_executor(self._prompts, function, *arguments)

    def start(self) -> None:
        """Begin to watch the artifacts on disk; called in the loop."""
        if self.settings.reload_interval_s:
            self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        """Finish what was accepted and end every thread."""
        self.is_stopping = True
        if self._watcher is not None:
            self._watcher.cancel()
        await asyncio.get_running_loop().run_in_executor(None, self.registry.close, self.settings.drain_timeout_s)
        self._prompts.shutdown(wait=False, cancel_futures=True)
        await asyncio.get_running_loop().run_in_executor(None, self.tracing.close)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.settings.reload_interval_s)
            for name in await loop.run_in_executor(None, self.registry.reload_changed):
                logger.info("%s changed on disk and was loaded again.", name)
