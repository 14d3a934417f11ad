"""``/v1/embeddings``: vectors of texts or token ids, as OpenAI gives them."""

from __future__ import annotations

import base64
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...batching import Rows
from ...errors import InputError
from ...generation.tokens import require_known_ids
from ...pipelines.embed import PromptedRows
from ...pipelines.encode import require_within_limit
from ...pipelines.progress import Progress
from ..endpoints import Call, Endpoint
from ..http import Answer
from ..local_model import LocalModel
from ..refusals import RefusedError
from .heads import require_dimensions, run_head, run_in_model

Token = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class EmbeddingsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Texts, or their token ids.

    ``user`` is accepted and not used. Texts over the model's limit are refused.
    """

    input: str | list[str | Token | list[Token]]
    model: str
    encoding_format: Literal["float", "base64"] | None = None
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
    inputs = _inputs(request.input)
    options: dict[str, Any] = {"normalize_embeddings": True}
    if request.dimensions is not None:
        options["truncate_dim"] = request.dimensions
    if isinstance(inputs[0], str):
        result = await run_head(call, served, "embed", inputs, options)
        vectors, num_tokens = result.results, result.num_tokens
    else:
        vectors = await run_in_model(call, served, partial(_vectors_of_ids, inputs, options))
        num_tokens = sum(map(len, inputs))
    require_dimensions(vectors, request.dimensions, served)
    data = [Embedding(vector, index) for index, vector in enumerate(_encoded(vectors, request.encoding_format))]
    return Answer.json(EmbeddingList(data, served.name, EmbeddingUsage(num_tokens, num_tokens)))


def _inputs(given: str | list[Any]) -> list[Any]:
    """One text, or one list of token ids, for each input."""
    if isinstance(given, str):
        return [given]
    if not given:
        raise RefusedError(400, "input is an empty list; give at least one text.", param="input", code="invalid_value")
    kinds = {type(item) for item in given}
    if kinds == {int}:
        given = [given]
    elif len(kinds) > 1:
        raise RefusedError(400, "input mixes texts and token ids; send one kind.", param="input", code="invalid_value")
    return given


def _vectors_of_ids(inputs: list[list[int]], options: dict[str, Any], loaded: LocalModel) -> NDArray[np.float32]:
    """Embeddings of token ids as they are: nothing is added to them.

    Raises:
        InputError, InputTooLongError: an input is empty, too long, or holds ids that the vocabulary has not.
    """
    pipeline = loaded.pipelines["embed"]
    rows = Rows.from_lists(inputs)
    if not len(rows.ids) or not rows.lengths.min():
        raise InputError("An input holds no token ids; give at least one.")
    require_within_limit(int(rows.lengths.max()), pipeline.limit, "An input")
    require_known_ids(rows.ids, int(loaded.facts.config.get("vocab_size") or rows.ids.max() + 1))
    vectors: NDArray[np.float32] = pipeline.complete(
        PromptedRows(rows, 0), pipeline.merged(options), Progress(len(inputs), False)
    )
    return vectors


def _encoded(vectors: NDArray[np.float32], encoding_format: str | None) -> list[Any]:
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
