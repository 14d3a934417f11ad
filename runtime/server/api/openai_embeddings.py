"""``/v1/embeddings``: vectors of texts or token ids, as OpenAI gives them."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..endpoints import Call, Endpoint
from ..http import Answer
from ..refusals import RefusedError
from .heads import run_head

Token = Annotated[int, msgspec.Meta(ge=0)]


class EmbeddingsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Texts, or their token ids.

    ``user`` is accepted and not used. Texts over the model's limit are refused.
    """

    input: str | list[str | Token | list[Token]]
    model: str
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None
    user: str | None = None


class Embedding(msgspec.Struct):
    """One vector: numbers, or their float32 bytes in base64."""

    embedding: list[float] | str
    index: int
    object: str = "embedding"


class EmbeddingUsage(msgspec.Struct):
    """Tokens read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(msgspec.Struct):
    """A vector for each input."""

    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
    object: str = "list"


async def embeddings(call: Call) -> Answer:
    """Embed texts."""
    request: EmbeddingsRequest = await call.body()
    served = call.server.registry.find("embed", request.model)
    texts = _texts(request.input, served.tokenizer)
    options: dict[str, Any] = {"normalize_embeddings": True}
    if request.dimensions is not None:
        options["truncate_dim"] = request.dimensions
    result = await run_head(call, served, "embed", texts, options)
    data = [Embedding(vector, index) for index, vector in enumerate(_encoded(result.results, request.encoding_format))]
    usage = EmbeddingUsage(result.num_tokens, result.num_tokens)
    return Answer.json(EmbeddingList(data, served.name, usage))


def _texts(given: str | list[Any], tokenizer: Any) -> list[str]:
    """One text for each input; token ids become the text that they stand for."""
    if isinstance(given, str):
        return [given]
    if not given:
        raise RefusedError(400, "input is an empty list; give at least one text.", param="input", code="invalid_value")
    kinds = {type(item) for item in given}
    if kinds == {int}:
        given = [given]
    elif len(kinds) > 1:
        raise RefusedError(400, "input mixes texts and token ids; send one kind.", param="input", code="invalid_value")
    return [item if isinstance(item, str) else tokenizer.decode(item, skip_special_tokens=True) for item in given]


def _encoded(vectors: NDArray[np.float32], encoding_format: str) -> list[Any]:
    if encoding_format == "base64":
        return [base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii") for vector in vectors]
    rows: list[Any] = vectors.tolist()
    return rows


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/embeddings",
        embeddings,
        "Embed texts",
        "OpenAI",
        request=EmbeddingsRequest,
        response=EmbeddingList,
    ),
)
