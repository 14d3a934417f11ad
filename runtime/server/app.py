"""The ASGI application: from a path to its endpoint, with keys, limits, measurements and errors around it."""

from __future__ import annotations

import contextlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import HeadwayError
from .api import ENDPOINTS
from .endpoints import Call, Endpoint
from .http import Answer, ClientGoneError, EventStream
from .refusals import Refusal, RefusedError, internal_refusal, openai_body, refusal_of
from .server import Server

logger = logging.getLogger("headway")
access_logger = logging.getLogger("headway.access")

_CLIENT_GONE_STATUS = 499


def create_app(server: Server) -> ASGIApp:
    """The application of a server.

    Args:
        server: its parts; models are loaded by whoever made it.
    """
    by_path: dict[str, dict[str, _EndpointApp]] = {}
    for endpoint in ENDPOINTS:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = _EndpointApp(server, endpoint)
    paths = {path: _Path(path, by_method) for path, by_method in by_path.items()}

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        server.start()
        yield
        await server.stop()

    routes = [Route(path, app) for path, app in paths.items() if "{" in path]
    router = Router(routes, redirect_slashes=False, default=_not_found, lifespan=lifespan)
    app: ASGIApp = _Application({path: app for path, app in paths.items() if "{" not in path}, router)
    if server.settings.cors_origins:
        from starlette.middleware.cors import CORSMiddleware

        app = CORSMiddleware(app, server.settings.cors_origins, allow_methods=("*",), allow_headers=("*",))
    return app


class _Application:
    """Finds plain paths in a table and leaves the others to a router."""

    def __init__(self, paths: Mapping[str, _Path], router: Router) -> None:
        self._paths = paths
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp | None = self._paths.get(scope["path"]) if scope["type"] == "http" else None
        await (app or self._router)(scope, receive, send)


class _Path:
    """The methods of one path."""

    def __init__(self, path: str, by_method: Mapping[str, _EndpointApp]) -> None:
        self._path = path
        self._by_method = by_method

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._by_method.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if app is not None:
            await app(scope, receive, send)
            return
        allowed = ", ".join(self._by_method)
        refusal = RefusedError(405, f"{self._path} takes {allowed}.", code="method_not_allowed")
        await _refused(refusal_of(refusal), {"Allow": allowed}).send(send)


class _EndpointApp:
    """One endpoint as an ASGI application."""

    def __init__(self, server: Server, endpoint: Endpoint) -> None:
        self._server = server
        self._endpoint = endpoint
        self._keys = tuple(key.encode() for key in server.settings.api_keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        call = Call(self._server, self._endpoint, scope, receive, send)
        self._server.num_requests += 1
        if not self._endpoint.is_open:
            call.trace = self._server.tracing.begin(self._endpoint.method, self._endpoint.path, scope["headers"])
        status = _CLIENT_GONE_STATUS
        try:
            answer = await self._answer(call)
            status = answer.status
            if isinstance(answer, EventStream):
                await answer.send(scope, receive, send)
            else:
                await answer.send(send)
        except ClientGoneError:
            pass
        finally:
            self._server.num_requests -= 1
            seconds = time.monotonic() - started
            endpoint = self._endpoint
            self._server.metrics.end_request(endpoint.path, status, seconds, is_open=endpoint.is_open)
            call.trace.end(status, call.model, call.num_tokens)
            if self._server.settings.access_log:
                _log(call, status, seconds)

    async def _answer(self, call: Call) -> Answer | EventStream:
        try:
            self._admit(call)
            return await self._endpoint.handler(call)
        except HeadwayError as error:
            refusal = refusal_of(error)
        except ClientGoneError:
            raise
        except Exception as error:
            # The message may hold what the client sent; the traceback is for whoever asks for it.
            logger.error("%s failed with %s.", self._endpoint.path, type(error).__name__)
            logger.debug("The request that failed.", exc_info=error)
            refusal = internal_refusal()
        return Answer.json(self._endpoint.error_body(refusal), refusal.status, refusal.headers)

    def _admit(self, call: Call) -> None:
        """Refuse who has no key, and everybody when too many are here already."""
        if self._endpoint.is_open:
            return
        if self._keys and not self._has_key(call):
            raise RefusedError(
                401,
                "This server needs a key: send it as `Authorization: Bearer KEY`.",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if self._server.num_requests > self._server.settings.max_connections:
            raise RefusedError(
                503, "Too many requests are in progress.", code="overloaded", headers={"Retry-After": "1"}
            )

    def _has_key(self, call: Call) -> bool:
        kind, _, token = (call.header("authorization") or "").partition(" ")
        given = (token if kind.lower() == "bearer" else call.header("x-api-key") or "").strip().encode("latin-1")
        # All are compared, in constant time, so that time tells nothing.
        return sum(hmac.compare_digest(given, key) for key in self._keys) > 0


def _log(call: Call, status: int, seconds: float) -> None:
    tokens = " ".join(f"{name}={count}" for name, count in call.num_tokens.items())
    access_logger.info(
        "%s %s %d %.1fms %s %s", call.endpoint.method, call.endpoint.path, status, seconds * 1e3, call.model, tokens
    )


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await _refused(refusal_of(RefusedError(404, "There is no such path; /docs lists all.", code="not_found"))).send(
            send
        )


def _refused(refusal: Refusal, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer.json(openai_body(refusal), refusal.status, headers)
