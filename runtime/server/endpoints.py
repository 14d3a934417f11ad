"""A table of endpoints: what each takes and gives, and the function that answers it.

The application routes by this table and the OpenAPI document is written from it, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from .http import Answer, EventStream, read_body, require_json_type
from .refusals import Body, RefusedError, openai_body
from .server import Server
from .tracing import UNTRACED, RequestTrace

Handler = Callable[["Call"], Awaitable[Answer | EventStream]]


@dataclass(frozen=True)
class Endpoint:
    """One method and path.

    Args:
        method: HTTP method.
        path: with names in braces for what varies.
        handler: answers a call.
        summary: a line for the documentation.
        tag: the family it belongs to.
        request: type of the JSON body; None for none.
        response: type of the JSON answer; None for none.
        content_type: of the answer, where it is not JSON.
        error_body: how the family writes errors.
        invalid_status: what a body that does not fit ``request`` is answered with.
        is_open: no API key is asked for.
        may_stream: answers with server-sent events if asked.
        health_statuses: further statuses whose body is an answer, not an error.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    request: Any = None
    response: Any = None
    content_type: str = "application/json"
    error_body: Body = openai_body
    invalid_status: int = 400
    is_open: bool = False
    may_stream: bool = False
    health_statuses: tuple[int, ...] = ()

    @cached_property
    def decoder(self) -> msgspec.json.Decoder[Any]:
        """Reads the JSON body."""
        return msgspec.json.Decoder(self.request)


@dataclass
class Call:
    """One request to an endpoint.

    Args:
        server: the parts to answer with.
        endpoint: the table's entry.
        scope: ASGI's description of the request.
        receive: gives the body and tells when the client leaves.
        send: takes the answer.
        model: the model that answered, for the log.
        num_tokens: tokens read and written, for the log.
        trace: what is noted about it.
    """

    server: Server
    endpoint: Endpoint
    scope: Scope
    receive: Receive
    send: Send
    model: str = ""
    num_tokens: dict[str, int] = field(default_factory=dict)
    trace: RequestTrace = UNTRACED

    @property
    def path_values(self) -> dict[str, Any]:
        """What stood in the path's braces."""
        values: dict[str, Any] = self.scope.get("path_params", {})
        return values

    def header(self, name: str) -> str | None:
        """A header by its lower-case name."""
        wanted = name.encode("latin-1")
        return next((value.decode("latin-1") for key, value in self.scope["headers"] if key == wanted), None)

    async def raw_body(self) -> bytes:
        """The body as it came.

        Raises:
            RefusedError: it is too large or too slow.
        """
        settings = self.server.settings
        return await read_body(self.scope, self.receive, settings.max_body_bytes, settings.body_timeout_s)

    async def body(self) -> Any:
        """The body as the endpoint's type.

        Raises:
            RefusedError: it is too large or too slow, no JSON, or does not fit.
        """
        require_json_type(self.scope)
        return self.decoded(await self.raw_body())

    def decoded(self, body: bytes) -> Any:
        """JSON bytes as the endpoint's type.

        Raises:
            RefusedError: they are no JSON, or do not fit.
        """
        try:
            return self.endpoint.decoder.decode(body)
        except msgspec.ValidationError as error:
            message, _, place = str(error).partition(" - at `$")
            param = place.rstrip("`").lstrip(".") or _named_field(message)
            where = f" at {param}" if place else ""
            raise RefusedError(
                self.endpoint.invalid_status, f"{message}{where}.", param=param or None, code="invalid_value"
            ) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RefusedError(400, f"The body is no JSON: {error}.", code="invalid_json") from error


def _named_field(message: str) -> str:
    """The field that msgspec names in the message itself."""
    parts = message.split("`")
    return parts[1] if len(parts) == 3 and ("field" in parts[0]) else ""
