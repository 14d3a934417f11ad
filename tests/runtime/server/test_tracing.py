"""Traces: spans of each step under the client's own trace, as the environment asks, and nothing of what was said."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from serving import RunningServer, events, running

from headway.runtime.errors import MissingExtraError, OptionError
from headway.runtime.server import tracing
from headway.runtime.server.settings import ServerSettings
from headway.runtime.server.tracing import Tracing, tracing_from_environment
from headway.runtime.server.tracing_spans import SpanTracing

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"
SECRET = "very good film"
HEADERS = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the variables that the machine may have."""
    for name in list(tracing.os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture(scope="module")
def traced(chat_folder: Path, head_folders: dict[str, Path], exporter: InMemorySpanExporter) -> Iterator[RunningServer]:
    spans = SpanTracing(SimpleSpanProcessor(exporter))
    settings = ServerSettings(load={"num_threads": 1}, reload_interval_s=0, drain_timeout_s=10)
    folders = {"chat": chat_folder, "embedder": head_folders["embedder"]}
    with running(folders, settings, tracing=spans) as server:
        yield server


@pytest.fixture
def finished(exporter: InMemorySpanExporter, traced: RunningServer) -> Callable[[], dict[str, Any]]:
    """Name → span of what was done since the test began; a request's own ends a moment after its answer."""
    exporter.clear()

    def spans() -> dict[str, Any]:
        end = time.monotonic() + 10
        while True:
            found = {span.name: span for span in exporter.get_finished_spans()}
            if any(name.startswith("POST") for name in found) or time.monotonic() > end:
                return found
            time.sleep(0.01)

    return spans


def test_a_request_to_a_head(traced: RunningServer, finished: Callable[[], dict[str, Any]]) -> None:
    assert traced.post("/embed", {"inputs": [SECRET, "bad"]}, headers=HEADERS).status_code == 200
    spans = finished()
    assert set(spans) == {"POST /embed", "queue", "batch", "tokenization", "inference"}
    request = spans["POST /embed"]
    assert f"{request.context.trace_id:032x}" == TRACE_ID
    assert f"{request.parent.span_id:016x}" == PARENT_ID
    assert dict(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/embed",
        "http.response.status_code": 200,
        "headway.model": "embedder",
        "headway.tokens": 8,
    }
    assert dict(spans["batch"].attributes) == {"headway.batch.rows": 2, "headway.batch.tokens": 8}
    for child, parent in {"queue": request, "batch": request, "inference": spans["batch"]}.items():
        assert spans[child].parent.span_id == parent.context.span_id
        assert request.start_time <= spans[child].start_time <= spans[child].end_time
    steps = [spans[name] for name in ("queue", "tokenization", "inference")]
    assert [step.end_time for step in steps[:-1]] == pytest.approx([step.start_time for step in steps[1:]], abs=1000)


def test_a_streamed_chat(traced: RunningServer, finished: Callable[[], dict[str, Any]]) -> None:
    body = {"model": "chat", "messages": [{"role": "user", "content": SECRET}], "max_tokens": 5, "stream": True}
    with traced.client.stream("POST", "/v1/chat/completions", json=body, headers=HEADERS) as response:
        assert events(response)[-1] == "[DONE]"
    spans = finished()
    assert set(spans) == {"POST /v1/chat/completions", "queue", "batch", "prefill", "decode"}
    request = spans["POST /v1/chat/completions"]
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {TRACE_ID}
    assert request.attributes["headway.new_tokens"] == spans["batch"].attributes["gen_ai.usage.output_tokens"]
    assert request.attributes["headway.prompt_tokens"] == spans["prefill"].attributes["gen_ai.usage.input_tokens"]
    assert spans["queue"].end_time <= spans["prefill"].end_time <= spans["decode"].end_time <= request.end_time


def test_nothing_that_was_said_is_in_a_trace(
    traced: RunningServer, exporter: InMemorySpanExporter, finished: Callable[[], dict[str, Any]]
) -> None:
    traced.post("/embed", {"inputs": SECRET}, headers={"authorization": f"Bearer {SECRET}"})
    traced.post("/embed", {"inputs": SECRET, "no_such_field": SECRET, "truncate": SECRET})
    traced.post("/v1/pipelines/ner", {"inputs": SECRET})
    assert len(finished()) >= 6
    for span in exporter.get_finished_spans():
        assert SECRET not in span.to_json()


def test_errors_are_marked_and_health_is_left_out(
    traced: RunningServer, exporter: InMemorySpanExporter, finished: Callable[[], dict[str, Any]]
) -> None:
    traced.get("/health")
    assert not exporter.get_finished_spans()
    assert traced.post("/embed", {"inputs": 5}).status_code == 422
    (refused,) = exporter.get_finished_spans()
    assert refused.attributes["http.response.status_code"] == 422
    assert refused.status.is_unset
    assert refused.parent is None


def test_a_client_that_is_not_sampled_is_not_traced(
    traced: RunningServer, exporter: InMemorySpanExporter, finished: Callable[[], dict[str, Any]]
) -> None:
    unsampled = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-00"}
    assert traced.post("/embed", {"inputs": "good"}, headers=unsampled).status_code == 200
    assert traced.post("/embed", {"inputs": "good"}, headers={"traceparent": "nonsense"}).status_code == 200
    assert {f"{span.context.trace_id:032x}" for span in exporter.get_finished_spans()} != {TRACE_ID}
    assert len({span.context.trace_id for span in exporter.get_finished_spans()}) == 1


@pytest.mark.parametrize(
    ("variables", "is_traced"),
    [
        ({}, False),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "console"}, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:1/v1/traces"}, True),
    ],
    ids=("nothing", "none", "disabled", "console", "endpoint", "traces endpoint"),
)
def test_the_environment_decides(variables: dict[str, str], is_traced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = tracing_from_environment()
    assert isinstance(found, SpanTracing) == is_traced
    found.close()


@pytest.mark.parametrize(
    "variables",
    [{"OTEL_TRACES_EXPORTER": "zipkin"}, {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}],
)
def test_exporters_that_there_are_not(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match="console"):
        tracing_from_environment()


def test_without_opentelemetry_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.delitem(sys.modules, "headway.runtime.server.tracing_spans")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingExtraError, match=r"headway\[otel\]"):
        tracing_from_environment()


@pytest.mark.parametrize(
    ("variables", "name"),
    [({}, "headway"), ({"OTEL_SERVICE_NAME": "mine"}, "mine"), ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=it"}, "it")],
    ids=("default", "name", "attribute"),
)
def test_the_service_has_a_name(variables: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    exporter = InMemorySpanExporter()
    spans = SpanTracing(SimpleSpanProcessor(exporter))
    spans.begin("GET", "/", []).end(500, "", {})
    (span,) = exporter.get_finished_spans()
    assert span.resource.attributes["service.name"] == name
    assert not span.status.is_ok
    spans.close()


def test_untraced_requests_cost_nothing() -> None:
    trace = Tracing().begin("GET", "/", [])
    assert trace is Tracing().begin("POST", "/", [])
