"""Cohere's rerank and classify, and Infinity's variants of them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ..endpoints import Call, Endpoint
from ..http import Answer
from ..refusals import RefusedError, cohere_body
from .generating import new_id, refuse_fields
from .heads import run_head

Count = Annotated[int, msgspec.Meta(ge=1)]


class Document(msgspec.Struct):
    """A document as an object."""

    text: str


class RerankRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A query, and documents to order by it.

    ``priority`` is accepted and not used.
    """

    query: str
    documents: list[str | Document]
    model: str | None = None
    top_n: Count | None = None
    return_documents: bool | None = None
    max_chunks_per_doc: Count | None = None
    max_tokens_per_doc: Count | None = None
    rank_fields: list[str] | None = None
    relevant_spans: Any = None
    priority: int | None = None


class RankedDocument(msgspec.Struct, omit_defaults=True):
    """A document's place."""

    index: int
    relevance_score: float
    document: Document | None = None


class Tokens(msgspec.Struct):
    """Tokens read."""

    input_tokens: int


class Meta(msgspec.Struct):
    """What an answer cost."""

    tokens: Tokens


class RerankUsage(msgspec.Struct):
    """Tokens read."""

    prompt_tokens: int
    total_tokens: int


class RerankResponse(msgspec.Struct):
    """Documents, best first."""

    id: str
    results: list[RankedDocument]
    meta: Meta
    usage: RerankUsage


class ClassifyRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Texts to classify; a model that is served needs no examples."""

    inputs: list[str]
    model: str | None = None
    examples: list[Any] | None = None
    preset: str | None = None
    truncate: str | None = None


class Confidence(msgspec.Struct):
    """A label's score."""

    confidence: float


class Classification(msgspec.Struct):
    """The labels of a text."""

    id: str
    input: str
    prediction: str
    predictions: list[str]
    confidence: float
    confidences: list[float]
    labels: dict[str, Confidence]
    classification_type: str


class ClassifyResponse(msgspec.Struct):
    """The labels of every text."""

    id: str
    classifications: list[Classification]
    meta: Meta


class InfinityClassifyRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Texts to classify."""

    input: list[str]
    model: str | None = None
    raw_scores: bool = False


class Label(msgspec.Struct):
    """A label's score."""

    score: float
    label: str


class InfinityClassifyResponse(msgspec.Struct):
    """The labels of every text, best first."""

    id: str
    data: list[list[Label]]
    model: str
    usage: RerankUsage
    object: str = "classify"


async def rerank(call: Call) -> Answer:
    """Order documents by a query."""
    request: RerankRequest = await call.body()
    refuse_fields(
        request,
        {"max_chunks_per_doc": (), "max_tokens_per_doc": (4096,), "rank_fields": ([], ["text"]), "relevant_spans": ()},
    )
    return await rerank_documents(call, request)


async def rerank_documents(call: Call, request: Any) -> Answer:
    """The answer to a request with ``query``, ``documents``, ``model``, ``top_n`` and ``return_documents``."""
    served = call.server.registry.find("rerank", request.model)
    limit = call.server.settings.heads.max_client_batch_size
    documents = [item if isinstance(item, str) else item.text for item in request.documents]
    if not 0 < len(documents) <= limit:
        raise RefusedError(
            413 if documents else 400,
            f"There are {len(documents)} documents; 1 to {limit} are allowed.",
            param="documents",
        )
    options = {"top_k": request.top_n, "truncation": True}
    result = await run_head(call, served, "rerank", [{"query": request.query, "documents": documents}], options)
    ranked = [
        RankedDocument(
            entry["corpus_id"],
            entry["score"],
            Document(documents[entry["corpus_id"]]) if request.return_documents else None,
        )
        for entry in result.results[0]
    ]
    usage = RerankUsage(result.num_tokens, result.num_tokens)
    return Answer.json(RerankResponse(new_id("rerank"), ranked, Meta(Tokens(result.num_tokens)), usage))


async def classify(call: Call) -> Answer:
    """Classify texts, as Cohere answers."""
    request: ClassifyRequest = await call.body()
    refuse_fields(request, {"examples": ([],), "preset": ()})
    if request.truncate not in (None, "NONE", "START", "END") or request.truncate == "START":
        raise RefusedError(400, "truncate may be NONE or END here.", param="truncate", code="unsupported_parameter")
    served = call.server.registry.find("text-classification", request.model)
    options = {"top_k": None, "truncation": request.truncate != "NONE"}
    result = await run_head(call, served, "text-classification", request.inputs, options)
    found = [
        _classification(served.facts.config, text, labels)
        for text, labels in zip(request.inputs, result.results, strict=True)
    ]
    return Answer.json(ClassifyResponse(new_id("classify"), found, Meta(Tokens(result.num_tokens))))


async def classify_labels(call: Call) -> Answer:
    """Classify texts, as Infinity answers."""
    request: InfinityClassifyRequest = await call.body()
    served = call.server.registry.find("text-classification", request.model)
    options: dict[str, Any] = {"top_k": None, "truncation": True}
    if request.raw_scores:
        options["function_to_apply"] = "none"
    result = await run_head(call, served, "text-classification", request.input, options)
    data = [[Label(entry["score"], entry["label"]) for entry in labels] for labels in result.results]
    usage = RerankUsage(result.num_tokens, result.num_tokens)
    return Answer.json(InfinityClassifyResponse(new_id("classify"), data, served.name, usage))


def _classification(config: Any, text: str, labels: list[dict[str, Any]]) -> Classification:
    is_multi = config.get("problem_type") == "multi_label_classification"
    best = [entry for entry in labels if entry["score"] >= 0.5] if is_multi else labels[:1]
    return Classification(
        new_id("c"),
        text,
        labels[0]["label"],
        [entry["label"] for entry in best],
        labels[0]["score"],
        [entry["score"] for entry in best],
        {entry["label"]: Confidence(entry["score"]) for entry in labels},
        "multi-label" if is_multi else "single-label",
    )


def _endpoint(path: str, handler: Any, summary: str, request: Any, response: Any) -> Endpoint:
    return Endpoint(
        "POST", path, handler, summary, "Cohere", request=request, response=response, error_body=cohere_body
    )


ENDPOINTS = (
    _endpoint("/v1/rerank", rerank, "Order documents by a query", RerankRequest, RerankResponse),
    _endpoint("/v2/rerank", rerank, "Order documents by a query", RerankRequest, RerankResponse),
    _endpoint("/v1/classify", classify, "Classify texts", ClassifyRequest, ClassifyResponse),
    _endpoint("/classify", classify_labels, "Classify texts", InfinityClassifyRequest, InfinityClassifyResponse),
)
