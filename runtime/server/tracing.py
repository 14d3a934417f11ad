"""Traces of requests: what a request waited for, as OpenTelemetry's spans, where that is installed and asked for.

The environment decides, by OpenTelemetry's own variables: a trace is exported where ``OTEL_EXPORTER_OTLP_ENDPOINT``,
``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` or ``OTEL_TRACES_EXPORTER`` says so; sampling, names and headers are read from
the others. A request's parent is taken from its headers (W3C Trace Context, or what ``OTEL_PROPAGATORS`` names). Spans
carry names, counts and times, never what a request or an answer says.

Sources: OpenTelemetry's specification of environment variables, its semantic conventions of HTTP spans.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtraError, OptionError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

    from .heads.batcher import Timings

logger = logging.getLogger("headway")

Headers = Iterable[tuple[bytes, bytes]]

_ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
SERVER_ERROR = 500


@dataclass(frozen=True)
class SequenceTimes:
    """When what happened to a generated sequence, in seconds of ``time.monotonic``.

    Args:
        started: it was handed to the model.
        queue_s: seconds that it then waited for a place.
        first_token: its first token came.
        last_token: its last token came.
        num_prompt_tokens: tokens of its prompt.
        num_cached_tokens: those of them that were not run again.
        num_new_tokens: tokens that were generated.
    """

    started: float
    queue_s: float
    first_token: float
    last_token: float
    num_prompt_tokens: int
    num_cached_tokens: int
    num_new_tokens: int


class RequestTrace:
    """What is noted about one request; this one notes nothing."""

    def head(self, started: float, timings: Timings) -> None:
        """A head answered, so long after it was asked at ``started``, in seconds of ``time.monotonic``."""

    def sequence(self, times: SequenceTimes) -> None:
        """A sequence ended."""

    def end(self, status: int, model: str, num_tokens: Mapping[str, int]) -> None:
        """The request was answered."""


class Tracing:
    """Traces of a server; this one makes none."""

    def begin(self, method: str, route: str, headers: Headers) -> RequestTrace:
        """A request has come.

        Args:
            method: HTTP method.
            route: the path's pattern, never the path itself.
            headers: of the request, which may name the trace it belongs to.
        """
        return UNTRACED

    def close(self) -> None:
        """Export what is left."""


UNTRACED = RequestTrace()
"""Of requests that are in no trace."""


def tracing_from_environment() -> Tracing:
    """Tracing as the environment asks for it.

    Raises:
        MissingExtraError: it asks for traces and OpenTelemetry is not installed.
        OptionError: it asks for an exporter that there is not.
    """
    exporter = _exporter_name()
    if exporter is None:
        return Tracing()
    try:
        from .tracing_spans import SpanTracing
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"The environment asks for traces (OTEL_…), which need {error.name}. Install headway[otel], or set "
            "OTEL_SDK_DISABLED=true."
        ) from error
    return SpanTracing(_processor(exporter))


def _exporter_name() -> str | None:
    """The exporter that the environment names; None where it asks for no traces."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    default = "otlp" if any(os.environ.get(name) for name in _ENDPOINT_VARIABLES) else "none"
    name = (os.environ.get("OTEL_TRACES_EXPORTER") or default).strip().lower()
    return None if name == "none" else name


def _processor(exporter: str) -> SpanProcessor:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor

    if exporter == "console":
        return SimpleSpanProcessor(ConsoleSpanExporter())
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if exporter != "otlp" or (protocol or "http/protobuf") != "http/protobuf":
        raise OptionError(
            f"OTEL_TRACES_EXPORTER is {exporter!r} with the protocol {protocol or 'http/protobuf'!r}; there are 'otlp' "
            "by 'http/protobuf', 'console' and 'none'."
        )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return BatchSpanProcessor(OTLPSpanExporter())


def decoded_headers(headers: Headers) -> dict[str, Any]:
    """Headers by lower-case name, as propagators read them."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
