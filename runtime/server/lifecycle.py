"""A server's life: models loaded, sockets opened, requests answered until told to stop, and those in progress ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from ..errors import ArtifactNotFoundError, OptionError
from .app import create_app
from .protocol import LimitedProtocol
from .server import Server

logger = logging.getLogger("headway")

_KEEP_ALIVE_S = 75
_BACKLOG = 2048


class HttpServer(uvicorn.Server):
    """uvicorn's server, which a signal makes drain and then end quietly."""

    def __init__(self, config: uvicorn.Config, when_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._when_ready = when_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT stop the server; a second one stops it at once."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            # Only the main thread may; elsewhere whoever started it sets should_exit.
            for number in signals:
                loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
                for number in signals:
                    loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open for requests, and say so."""
        await super().startup(sockets)
        if self.started:
            self._when_ready()

    def _stop(self) -> None:
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        OptionError: the address cannot be used.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        raise OptionError(
            f"{host} port {port} cannot be used: {error.strerror or error}. Pass another --host or --port."
        ) from error
    listener.listen(_BACKLOG)
    return listener


def serve(server: Server, listener: socket.socket, when_ready: Callable[[], None] = lambda: None) -> None:
    """Load the models and answer requests until SIGTERM or SIGINT; then drain.

    Args:
        server: its parts.
        listener: from :func:`open_socket`.
        when_ready: called once requests are answered.

    Raises:
        ArtifactNotFoundError: no model could be loaded.
    """
    server.registry.load_all()
    if not server.registry.served:
        raise ArtifactNotFoundError(f"No model could be loaded: {' '.join(server.registry.failures.values())}")
    http_server(server, when_ready).run(sockets=[listener])


def http_server(server: Server, when_ready: Callable[[], None] = lambda: None) -> HttpServer:
    """The HTTP side of a server whose models are loaded."""
    config = uvicorn.Config(
        create_app(server),
        http=LimitedProtocol,
        loop="auto",
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(server.settings.drain_timeout_s) or None,
        backlog=_BACKLOG,
    )
    # Its messages name paths and addresses of clients; what matters is said by this server.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return HttpServer(config, when_ready)
