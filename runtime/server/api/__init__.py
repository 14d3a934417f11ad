"""The HTTP surface, one file for each family of clients: a new family is a new file and an entry here."""

from __future__ import annotations

from ..endpoints import Endpoint
from . import (
    cohere,
    documents,
    health,
    kserve,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_models,
    pipelines,
    tei,
)

ENDPOINTS: tuple[Endpoint, ...] = tuple(
    endpoint
    for family in (
        health,
        documents,
        openai_models,
        openai_chat,
        openai_completions,
        openai_embeddings,
        tei,
        cohere,
        pipelines,
        kserve,
    )
    for endpoint in family.ENDPOINTS
)
"""Every endpoint, in the order of the documentation."""
