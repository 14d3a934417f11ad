"""What text-embeddings-inference's endpoints take and give."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Truncation = Literal["left", "Left", "right", "Right"]
Texts = str | list[str]
TokenId = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class TeiFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Fields of every endpoint."""

    model: str | None = None
    truncate: bool | None = None
    truncation_direction: Truncation | None = None


class EmbedRequest(TeiFields, kw_only=True, forbid_unknown_fields=True):
    """Texts to embed."""

    inputs: Texts
    normalize: bool = True
    prompt_name: str | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None


class EmbedAllRequest(TeiFields, kw_only=True, forbid_unknown_fields=True):
    """Texts whose tokens are to be embedded."""

    inputs: Texts


class PredictRequest(TeiFields, kw_only=True, forbid_unknown_fields=True):
    """A text, a pair ``[text, text]``, or a list of texts and pairs that are lists themselves."""

    inputs: str | list[str | list[str]]
    raw_scores: bool = False


class RerankRequest(TeiFields, kw_only=True, forbid_unknown_fields=True):
    """A query, and texts to order by it; with ``documents`` in place of ``texts`` the answer is Cohere's."""

    query: str
    texts: list[str] | None = None
    raw_scores: bool = False
    return_text: bool = False
    documents: list[str] | None = None
    top_n: Annotated[int, msgspec.Meta(ge=1)] | None = None
    return_documents: bool = False


class SimilarityInputs(msgspec.Struct, forbid_unknown_fields=True):
    """One sentence, and those to compare it with."""

    source_sentence: str
    sentences: list[str]


class SimilarityRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Sentences to compare; ``parameters`` may hold what ``/embed`` takes beside its inputs."""

    inputs: SimilarityInputs
    parameters: dict[str, Any] | None = None
    model: str | None = None


class TokenizeRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Texts to tokenize."""

    inputs: Texts
    add_special_tokens: bool = True
    prompt_name: str | None = None
    model: str | None = None


class DecodeRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Token ids to turn into text."""

    ids: list[TokenId | list[TokenId]]
    skip_special_tokens: bool = True
    model: str | None = None


class Prediction(msgspec.Struct):
    """A label."""

    score: float
    label: str


class Rank(msgspec.Struct, omit_defaults=True):
    """A text's place."""

    index: int
    score: float
    text: str | None = None


class SimpleToken(msgspec.Struct):
    """A token: ``start`` and ``stop`` are characters of the text, none for special tokens."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class Info(msgspec.Struct):
    """The first head that is served, and the limits."""

    model_id: str
    model_sha: str | None
    model_dtype: str
    model_type: dict[str, Any]
    max_concurrent_requests: int
    max_input_length: int | None
    max_batch_tokens: int
    max_batch_requests: int | None
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int
    version: str
