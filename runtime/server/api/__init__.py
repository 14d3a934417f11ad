"""The HTTP surface, one file for each family of clients: a new family is a new file and an entry here."""

from __future__ import annotations

from ..endpoints import Endpoint
from . import health, openai_chat, openai_completions, openai_embeddings, openai_models

ENDPOINTS: tuple[Endpoint, ...] = (
    *health.ENDPOINTS,
    *openai_models.ENDPOINTS,
    *openai_chat.ENDPOINTS,
    *openai_completions.ENDPOINTS,
    *openai_embeddings.ENDPOINTS,
)
