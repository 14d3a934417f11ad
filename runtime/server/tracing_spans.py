"""Requests as OpenTelemetry's spans: request → queue → batch → tokenization and inference, or prefill and decode."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from opentelemetry import propagate
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from .tracing import SERVER_ERROR, Headers, RequestTrace, SequenceTimes, Tracing, decoded_headers

if TYPE_CHECKING:
    from .heads.batcher import Timings

_NANOSECONDS = 1_000_000_000
_DEFAULT_SERVICE = "headway"
_UNNAMED_SERVICE = "unknown_service"


class SpanTracing(Tracing):
    """Spans of a server's requests.

    Args:
        processor: takes finished spans.
    """

    def __init__(self, processor: SpanProcessor) -> None:
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("headway")

    def begin(self, method: str, route: str, headers: Headers) -> RequestTrace:
        """Open the request's span, under the one that its headers name."""
        parent = propagate.extract(decoded_headers(headers))
        attributes = {"http.request.method": method, "http.route": route}
        span = self._tracer.start_span(f"{method} {route}", parent, SpanKind.SERVER, attributes)
        return _SpanTrace(self._tracer, span) if span.is_recording() else RequestTrace()

    def close(self) -> None:
        """Export what is left."""
        self._provider.shutdown()


class _SpanTrace(RequestTrace):
    """A request's open span, and the finished ones under it.

    Args:
        tracer: makes spans.
        span: the request's.
    """

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        # Spans are dated by the wall clock; what is measured here is not, because that clock may jump.
        self._offset_s = time.time() - time.monotonic()

    def head(self, started: float, timings: Timings) -> None:
        """queue, then batch with tokenization and inference in it."""
        taken = started + timings.queue_s
        tokenized = taken + timings.tokenization_s
        ended = tokenized + timings.inference_s
        self._child(self._span, "queue", started, taken)
        sizes = {"headway.batch.rows": timings.num_batch_rows, "headway.batch.tokens": timings.num_batch_tokens}
        batch = self._open(self._span, "batch", taken, sizes)
        self._child(batch, "tokenization", taken, tokenized)
        self._child(batch, "inference", tokenized, ended)
        batch.end(self._nanoseconds(ended))

    def sequence(self, times: SequenceTimes) -> None:
        """queue, then batch with prefill and decode in it."""
        taken = times.started + times.queue_s
        self._child(self._span, "queue", times.started, taken)
        batch = self._open(self._span, "batch", taken, {"gen_ai.usage.output_tokens": times.num_new_tokens})
        prompt = {
            "gen_ai.usage.input_tokens": times.num_prompt_tokens,
            "headway.cached_tokens": times.num_cached_tokens,
        }
        self._child(batch, "prefill", taken, times.first_token, prompt)
        self._child(batch, "decode", times.first_token, times.last_token)
        batch.end(self._nanoseconds(times.last_token))

    def end(self, status: int, model: str, num_tokens: Mapping[str, int]) -> None:
        """Close the request's span."""
        self._span.set_attribute("http.response.status_code", status)
        if model:
            self._span.set_attribute("headway.model", model)
        for name, count in num_tokens.items():
            self._span.set_attribute(f"headway.{name}_tokens" if name != "tokens" else "headway.tokens", count)
        if status >= SERVER_ERROR:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()

    def _child(
        self, parent: Span, name: str, started: float, ended: float, attributes: Mapping[str, int] | None = None
    ) -> None:
        self._open(parent, name, started, attributes).end(self._nanoseconds(max(started, ended)))

    def _open(self, parent: Span, name: str, started: float, attributes: Mapping[str, int] | None = None) -> Span:
        return self._tracer.start_span(
            name, set_span_in_context(parent), attributes=attributes, start_time=self._nanoseconds(started)
        )

    def _nanoseconds(self, at: float) -> int:
        return int((at + self._offset_s) * _NANOSECONDS)


def _resource() -> Resource:
    """What ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` say, and this server's name where they say none."""
    resource = Resource.create()
    name = str(resource.attributes.get("service.name", _UNNAMED_SERVICE))
    return (
        resource.merge(Resource({"service.name": _DEFAULT_SERVICE})) if name.startswith(_UNNAMED_SERVICE) else resource
    )
