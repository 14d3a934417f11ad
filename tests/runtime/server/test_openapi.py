"""The OpenAPI document, and random requests drawn from it."""

from __future__ import annotations

import re

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from serving import RunningServer

from headway.runtime.server.api import ENDPOINTS
from headway.runtime.server.openapi import openapi_document

NUM_EXAMPLES = 12


SCHEMA = schemathesis.openapi.from_dict(openapi_document(ENDPOINTS))
OPERATIONS = {operation.label: operation for result in SCHEMA.get_all_operations() for operation in [result.ok()]}
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]


@pytest.mark.parametrize("label", OPERATIONS)
def test_random_requests_get_an_answer_that_the_document_describes(server: RunningServer, label: str) -> None:
    """No 5xx, and every answer has the status, the type and the shape that it should."""

    @hypothesis.given(case=OPERATIONS[label].as_strategy())
    @hypothesis.settings(
        max_examples=NUM_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    def ask(case: schemathesis.Case) -> None:
        aim(case)
        case.call_and_validate(base_url=server.url, checks=CHECKS)

    ask()


def aim(case: schemathesis.Case) -> None:
    """Name a model that there is, and ask for little."""
    path = case.operation.path
    if "model" in case.path_parameters:
        case.path_parameters["model"] = "classifier"
    if isinstance(case.body, dict):
        if "model" in case.body:
            case.body["model"] = next((name for part, name in MODELS.items() if part in path), "classifier")
        for name in {"max_tokens", "max_completion_tokens"} & case.body.keys():
            case.body[name] = 2


MODELS = {"completions": "chat", "embed": "embedder", "similarity": "embedder", "rerank": "judge"}


def test_the_document_describes_every_endpoint(server: RunningServer) -> None:
    document = server.get("/openapi.json").json()
    assert {"/v1/chat/completions", "/embed", "/v2/rerank", "/v2/models/{model}/infer"} <= document["paths"].keys()
    chat = document["components"]["schemas"]["ChatRequest"]
    assert {"messages", "temperature", "response_format"} <= chat["properties"].keys()
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["description"]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere(server: RunningServer, path: str) -> None:
    page = server.get(path)
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    pending = set(re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text))
    assert len(pending) == 2
    assets: dict[str, str] = {}
    while pending:
        path = pending.pop()
        answer = server.get(path)
        assert answer.status_code == 200
        assets[path] = answer.text.replace("http://www.w3.org/2000/svg", "")
        pending |= set(re.findall(r'from "(/assets/[^"]+)"', answer.text)) - assets.keys()
    for text in assets.values():
        assert "://" not in text
        assert "innerHTML" not in text


def test_pages_ask_for_paths_that_there_are(server: RunningServer) -> None:
    paths = {endpoint.path for endpoint in ENDPOINTS}
    texts = [server.get(f"/assets/{name}.js").text for name in ("page", "forms", "live", "elements")]
    found = {path for text in texts for path in re.findall(r"""["`](/[\w/.-]{2,})""", text)} - {"/assets/"}
    assert {re.sub(r"^(/v1/pipelines/).*", r"\1{task}", path) for path in found} <= paths
    assert {"/v1/chat/completions", "/similarity", "/predict", "/rerank", "/metrics"} <= found
