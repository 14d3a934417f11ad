"""text-embeddings-inference's endpoints: embed, embed_all, predict, rerank, similarity, tokenize, decode, info.

Each takes the first model that does its task, or the one that ``model`` names, which is this server's addition. Source
of the formats: text-embeddings-inference's OpenAPI document, version 1.8.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ...sentence_transformers import EmbeddingRecipe
from ..endpoints import Call, Endpoint
from ..http import Answer
from ..refusals import RefusedError, tei_body
from ..served_model import ServedModel
from .heads import require_dimensions, run_head
from .tei_types import (
    DecodeRequest,
    EmbedAllRequest,
    EmbedRequest,
    Info,
    Prediction,
    PredictRequest,
    Rank,
    RerankRequest,
    SimilarityRequest,
    SimpleToken,
    TeiFields,
    Texts,
    TokenizeRequest,
)


async def embed(call: Call) -> Answer:
    """A vector for each text."""
    return await _embed(call, await call.body())


async def embed_all(call: Call) -> Answer:
    """A vector for each token of each text."""
    request: EmbedAllRequest = await call.body()
    served = call.server.registry.find("feature-extraction", request.model)
    options = {"return_tensors": True, **_truncation(request, served)}
    result = await run_head(call, served, "feature-extraction", _as_list(request.inputs), options)
    return Answer.json([states[0].tolist() for states in result.results])


async def predict(call: Call) -> Answer:
    """Labels of each text or pair, best first."""
    return await _predict(call, await call.body())


async def rerank(call: Call) -> Answer:
    """Texts ordered by how well they answer a query."""
    return await _rerank(call, await call.body())


async def similarity(call: Call) -> Answer:
    """How alike one sentence is to each of some others."""
    request: SimilarityRequest = await call.body()
    sentences = request.inputs.sentences
    if not sentences:
        raise RefusedError(422, "inputs.sentences is empty; give at least one.", param="inputs.sentences")
    served = call.server.registry.find("embed", request.model)
    fields = _converted({**(request.parameters or {}), "inputs": [request.inputs.source_sentence, *sentences]})
    options = {**_embed_options(fields, served), "normalize_embeddings": True}
    result = await run_head(call, served, "embed", fields.inputs, options)
    require_dimensions(result.results, fields.dimensions, served, 422)
    return Answer.json((result.results[1:] @ result.results[0]).tolist())


async def tokenize(call: Call) -> Answer:
    """Tokens of each text."""
    request: TokenizeRequest = await call.body()
    served = _any_model(call, request.model)
    texts = _as_list(request.inputs)
    _require_batch(call, texts)
    if request.prompt_name is not None:
        prompt = _recipe(served).prompt(None, request.prompt_name)
        texts = [prompt + text for text in texts]
    return Answer.json(await call.server.in_thread(_tokens, served.text_tokenizer, texts, request.add_special_tokens))


async def decode(call: Call) -> Answer:
    """Text of each list of ids."""
    request: DecodeRequest = await call.body()
    served = _any_model(call, request.model)
    ids = request.ids
    if len({type(item) for item in ids}) > 1:
        raise RefusedError(422, "ids mixes ids and lists; send one list of ids, or a list of lists.", param="ids")
    rows = ids if ids and isinstance(ids[0], list) else [ids]
    _require_batch(call, rows)
    texts = await call.server.in_thread(served.text_tokenizer.batch_decode, rows, request.skip_special_tokens)
    return Answer.json(texts)


async def info(call: Call) -> Answer:
    """What is served first, and the limits."""
    served = _any_model(call, None)
    settings = call.server.settings
    from importlib.metadata import version

    return Answer.json(
        Info(
            model_id=served.name,
            model_sha=None,
            model_dtype=_DTYPE_NAMES.get(served.facts.dtype, served.facts.dtype),
            model_type=_model_type(served),
            max_concurrent_requests=settings.max_connections,
            max_input_length=served.facts.max_length,
            max_batch_tokens=settings.heads.max_round_tokens,
            max_batch_requests=None,
            max_client_batch_size=settings.heads.max_client_batch_size,
            auto_truncate=False,
            tokenization_workers=1,
            version=version("headway"),
        )
    )


async def by_task(call: Call) -> Answer:
    """What ``/embed``, ``/predict`` or ``/rerank`` gives, whichever the first head is made for."""
    served = next((served for served in call.server.registry.served if _route_of(served)), None)
    if served is None:
        raise RefusedError(404, "No model here embeds, classifies or reranks.", code="model_not_found")
    kind, handler = _ROUTES[_route_of(served)]
    values = await call.body()
    answer: Answer = await handler(call, _converted(values, kind))
    return answer


async def _embed(call: Call, request: EmbedRequest) -> Answer:
    served = call.server.registry.find("embed", request.model)
    result = await run_head(call, served, "embed", _as_list(request.inputs), _embed_options(request, served))
    require_dimensions(result.results, request.dimensions, served, 422)
    return Answer.json(result.results.tolist())


async def _predict(call: Call, request: PredictRequest) -> Answer:
    served = call.server.registry.find("text-classification", request.model)
    options: dict[str, Any] = {"top_k": None, **_truncation(request, served)}
    if request.raw_scores:
        options["function_to_apply"] = "none"
    items, is_batch = _sequences(request.inputs)
    result = await run_head(call, served, "text-classification", items, options)
    found = [[Prediction(entry["score"], entry["label"]) for entry in labels] for labels in result.results]
    return Answer.json(found if is_batch else found[0])


async def _rerank(call: Call, request: RerankRequest) -> Answer:
    if (request.texts is None) == (request.documents is None):
        raise RefusedError(422, "Send texts, or documents for an answer as Cohere gives it.", param="texts")
    if request.documents is not None:
        from .cohere import rerank_documents

        return await rerank_documents(call, request)
    served = call.server.registry.find("rerank", request.model)
    texts = request.texts or []
    _require_batch(call, texts)
    options: dict[str, Any] = dict(_truncation(request, served))
    if request.raw_scores:
        options["activation_fn"] = "Identity"
    result = await run_head(call, served, "rerank", [{"query": request.query, "documents": texts}], options)
    ranks = [
        Rank(entry["corpus_id"], entry["score"], texts[entry["corpus_id"]] if request.return_text else None)
        for entry in result.results[0]
    ]
    return Answer.json(ranks)


def _embed_options(request: EmbedRequest, served: ServedModel) -> dict[str, Any]:
    options: dict[str, Any] = {"normalize_embeddings": request.normalize, **_truncation(request, served)}
    if request.prompt_name is not None:
        options["prompt_name"] = request.prompt_name
    if request.dimensions is not None:
        options["truncate_dim"] = request.dimensions
    return options


def _truncation(request: TeiFields, served: ServedModel) -> dict[str, Any]:
    side = (request.truncation_direction or served.tokenizer.truncation_side).lower()
    if request.truncate and side != served.tokenizer.truncation_side:
        raise RefusedError(
            422,
            f"truncation_direction {request.truncation_direction} is not available; {served.name}'s tokenizer cuts on "
            f"the {served.tokenizer.truncation_side}.",
            param="truncation_direction",
        )
    return {"truncation": True} if request.truncate else {}


def _converted(values: Any, kind: Any = EmbedRequest) -> Any:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise RefusedError(422, f"{error}.", code="invalid_value") from error


def _sequences(inputs: str | list[str | list[str]]) -> tuple[list[Any], bool]:
    """Texts and pairs as pipelines take them, and whether several were asked for."""
    if isinstance(inputs, str):
        return [inputs], False
    if inputs and all(isinstance(item, str) for item in inputs):
        return [_sequence(inputs)], False
    return [item if isinstance(item, str) else _sequence(item) for item in inputs], True


def _sequence(texts: list[Any]) -> Any:
    if len(texts) == 1:
        return texts[0]
    if len(texts) == 2:
        return {"text": texts[0], "text_pair": texts[1]}
    raise RefusedError(422, f"A sequence has {len(texts)} texts; one, or two for a pair, are taken.", param="inputs")


def _as_list(inputs: Texts) -> list[str]:
    return [inputs] if isinstance(inputs, str) else inputs


def _require_batch(call: Call, items: list[Any]) -> None:
    limit = call.server.settings.heads.max_client_batch_size
    if not 0 < len(items) <= limit:
        raise RefusedError(413 if items else 422, f"The request has {len(items)} inputs; 1 to {limit} are allowed.")


def _any_model(call: Call, name: str | None) -> ServedModel:
    if name is not None:
        return call.server.registry.get(name)
    served = call.server.registry.served
    heads = [model for model in served if _route_of(model)]
    return (*heads, *served)[0]


def _recipe(served: ServedModel) -> EmbeddingRecipe:
    served.require_task("embed")
    return served.facts.recipe or EmbeddingRecipe(("mean",))


def _tokens(tokenizer: Any, texts: list[str], add_special_tokens: bool) -> list[list[SimpleToken]]:
    batch = tokenizer(
        texts,
        add_special_tokens=add_special_tokens,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        verbose=False,
    )
    return [
        [
            SimpleToken(token, tokenizer.convert_ids_to_tokens(token), bool(special), *_span(special, span))
            for token, special, span in zip(ids, specials, spans, strict=True)
        ]
        for ids, specials, spans in zip(
            batch["input_ids"], batch["special_tokens_mask"], batch["offset_mapping"], strict=True
        )
    ]


def _span(special: int, span: tuple[int, int]) -> tuple[int | None, int | None]:
    return (None, None) if special else (int(span[0]), int(span[1]))


def _route_of(served: ServedModel) -> str:
    return next((task for task in _ROUTES if task in served.tasks), "")


def _model_type(served: ServedModel) -> dict[str, Any]:
    if "embed" in served.tasks:
        modes = _recipe(served).pooling_modes
        return {"embedding": {"pooling": "+".join(modes)}}
    if "text-classification" in served.tasks:
        config = served.facts.config
        kind = "reranker" if "rerank" in served.tasks else "classifier"
        labels = {str(index): label for index, label in config.id2label.items()}
        return {kind: {"id2label": labels, "label2id": {label: int(index) for index, label in labels.items()}}}
    return {task: {} for task in served.tasks[:1]}


_DTYPE_NAMES: Mapping[str, str] = {"fp32": "float32", "fp16": "float16"}
# Task → the request of its endpoint and what answers it; the first that a model does is what it is made for.
_ROUTES: Mapping[str, tuple[Any, Any]] = {
    "embed": (EmbedRequest, _embed),
    "rerank": (RerankRequest, _rerank),
    "text-classification": (PredictRequest, _predict),
}


def _endpoint(path: str, handler: Any, summary: str, request: Any, response: Any, method: str = "POST") -> Endpoint:
    return Endpoint(
        method,
        path,
        handler,
        summary,
        "text-embeddings-inference",
        request=request,
        response=response,
        error_body=tei_body,
        invalid_status=422,
    )


ENDPOINTS = (
    _endpoint("/embed", embed, "Embed texts", EmbedRequest, list[list[float]]),
    _endpoint("/embed_all", embed_all, "Embed every token of texts", EmbedAllRequest, list[list[list[float]]]),
    _endpoint("/predict", predict, "Classify texts", PredictRequest, list[Any]),
    _endpoint("/rerank", rerank, "Order texts by a query", RerankRequest, Any),
    _endpoint("/similarity", similarity, "Compare sentences", SimilarityRequest, list[float]),
    _endpoint("/tokenize", tokenize, "Tokenize texts", TokenizeRequest, list[list[SimpleToken]]),
    _endpoint("/decode", decode, "Turn token ids into text", DecodeRequest, list[str]),
    _endpoint("/info", info, "What is served, and the limits", None, Info, "GET"),
    _endpoint("/", by_task, "Embed, classify or rerank, as the first model does", dict[str, Any], Any),
    _endpoint("/invocations", by_task, "The same as /", dict[str, Any], Any),
)
