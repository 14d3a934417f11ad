"""The OpenAPI document, and pages that are shipped with the server."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

from ..endpoints import Call, Endpoint
from ..http import Answer, encode_json

# Nothing is loaded from elsewhere, and no page may frame these.
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}


async def openapi(call: Call) -> Answer:
    """The OpenAPI document of this server."""
    return Answer(_document())


async def index(call: Call) -> Answer:
    """A page to try every loaded model, with the server's measurements as they change."""
    return _page("index.html")


async def docs(call: Call) -> Answer:
    """The document as a page."""
    return _page("docs.html")


@lru_cache(maxsize=1)
def _document() -> bytes:
    from ..openapi import openapi_document
    from . import ENDPOINTS as EVERY_ENDPOINT

    return encode_json(openapi_document(EVERY_ENDPOINT))


def _page(name: str) -> Answer:
    body = files("headway.runtime.server").joinpath("assets", name).read_bytes()
    return Answer(body, content_type=_CONTENT_TYPES[name.rpartition(".")[2]], headers=_PAGE_HEADERS)


def _endpoint(path: str, handler: Any, summary: str, content_type: str) -> Endpoint:
    return Endpoint("GET", path, handler, summary, "Server", content_type=content_type, is_open=True)


def _asset(name: str, summary: str) -> Endpoint:
    async def asset(call: Call) -> Answer:
        return _page(name)

    asset.__doc__ = f"{summary}."
    return _endpoint(f"/assets/{name}", asset, summary, _CONTENT_TYPES[name.rpartition(".")[2]])


ENDPOINTS = (
    Endpoint("GET", "/openapi.json", openapi, "The OpenAPI document", "Server", response=dict[str, Any], is_open=True),
    _endpoint("/", index, "A page to try the models", _CONTENT_TYPES["html"]),
    _endpoint("/docs", docs, "The document as a page", _CONTENT_TYPES["html"]),
    _asset("style.css", "How pages look"),
    _asset("page.js", "What runs the page"),
    _asset("forms.js", "What the page asks of each kind of head"),
    _asset("live.js", "What draws the measurements"),
    _asset("elements.js", "What both build the page with"),
    _asset("docs.js", "What draws the document"),
)
