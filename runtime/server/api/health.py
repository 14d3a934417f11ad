"""Whether the server is well, and what it measures."""

from __future__ import annotations

import msgspec

from ..endpoints import Call, Endpoint
from ..http import Answer
from ..refusals import tei_body

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Health(msgspec.Struct):
    """Which models answer, and which do not."""

    status: str
    models: list[str]
    failed: list[str]


async def health(call: Call) -> Answer:
    """200 while at least one model answers, 503 before and after."""
    server = call.server
    names = [served.name for served in server.registry.served if served.is_ready]
    is_well = bool(names) and not server.is_stopping
    report = Health("ok" if is_well else "unavailable", names, [n for n in server.registry.names if n not in names])
    return Answer.json(report, 200 if is_well else 503)


async def metrics(call: Call) -> Answer:
    """Prometheus's text format."""
    return Answer(call.server.metrics.text(), content_type=_PROMETHEUS)


def _well(path: str, summary: str) -> Endpoint:
    return Endpoint("GET", path, health, summary, "Server", response=Health, is_open=True, health_statuses=(503,))


ENDPOINTS = (
    _well("/health", "Whether models answer"),
    _well("/ping", "The same as /health"),
    Endpoint(
        "GET",
        "/metrics",
        metrics,
        "Measurements for Prometheus",
        "Server",
        content_type=_PROMETHEUS,
        error_body=tei_body,
        is_open=True,
    ),
)
