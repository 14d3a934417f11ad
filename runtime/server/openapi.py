"""The OpenAPI document, written from the table of endpoints and the types they name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from .endpoints import Endpoint
from .refusals import Body, cohere_body, kserve_body, openai_body, tei_body

_PATH_VALUE = re.compile(r"{(\w+)}")
_REF_TEMPLATE = "#/components/schemas/{name}"


class OpenAIErrorDetail(msgspec.Struct):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(msgspec.Struct):
    """An error as OpenAI's clients read it."""

    error: OpenAIErrorDetail


class TeiError(msgspec.Struct):
    """An error as text-embeddings-inference writes it."""

    error: str
    error_type: str


class CohereError(msgspec.Struct):
    """An error as Cohere's clients read it."""

    message: str


class KServeError(msgspec.Struct):
    """An error as Triton's clients read it."""

    error: str


_ERROR_TYPES: dict[Body, Any] = {
    openai_body: OpenAIError,
    tei_body: TeiError,
    cohere_body: CohereError,
    kserve_body: KServeError,
}


def openapi_document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The document of a table of endpoints, version 3.1 of the specification."""
    types = [kind for endpoint in endpoints for kind in (endpoint.request, endpoint.response) if kind is not None]
    schemas, components = msgspec.json.schema_components([*types, *_ERROR_TYPES.values()], ref_template=_REF_TEMPLATE)
    by_type = dict(zip(map(repr, [*types, *_ERROR_TYPES.values()]), schemas, strict=True))
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(_template(endpoint.path), {})[endpoint.method.lower()] = _operation(endpoint, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Headway", "version": version("headway"), "description": "Every head over HTTP."},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "description": (endpoint.handler.__doc__ or "").strip(),
        "operationId": _operation_id(endpoint),
        "tags": [endpoint.tag],
        "responses": {
            "200": {"description": "The answer.", "content": _answer_content(endpoint, schemas)},
            "default": {
                "description": "Why there is no answer.",
                "content": {"application/json": {"schema": schemas[repr(_ERROR_TYPES[endpoint.error_body])]}},
            },
        },
    }
    if endpoint.health_statuses:
        for status in endpoint.health_statuses:
            operation["responses"][str(status)] = {**operation["responses"]["200"], "description": "Not now."}
    names = _PATH_VALUE.findall(_template(endpoint.path))
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in names
        ]
    if endpoint.request is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas[repr(endpoint.request)]}},
        }
    if not endpoint.is_open:
        operation["security"] = [{"key": []}, {}]
    return operation


def _answer_content(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    if endpoint.response is None:
        return {endpoint.content_type.split(";")[0]: {"schema": {"type": "string"}}}
    content: dict[str, Any] = {"application/json": {"schema": schemas[repr(endpoint.response)]}}
    if endpoint.may_stream:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return content


def _template(path: str) -> str:
    """A path as the specification writes it, without what a value may hold."""
    return path.replace(":path}", "}")


def _operation_id(endpoint: Endpoint) -> str:
    words = re.findall(r"\w+", _template(endpoint.path))
    return "_".join([endpoint.method.lower(), *words])
