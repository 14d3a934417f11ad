"""``/v1/models``: what is served, as OpenAI's clients list it."""

from __future__ import annotations

import msgspec

from ..endpoints import Call, Endpoint
from ..http import Answer
from ..served_model import ServedModel


class ModelCard(msgspec.Struct):
    """A model."""

    id: str
    created: int
    tasks: list[str]
    max_model_len: int | None
    object: str = "model"
    owned_by: str = "headway"


class ModelList(msgspec.Struct):
    """All of them."""

    data: list[ModelCard]
    object: str = "list"


async def list_models(call: Call) -> Answer:
    """Every model that is loaded."""
    return Answer.json(ModelList([_card(served) for served in call.server.registry.served]))


async def get_model(call: Call) -> Answer:
    """One model by name."""
    return Answer.json(_card(call.server.registry.get(call.path_values["model"])))


def _card(served: ServedModel) -> ModelCard:
    return ModelCard(served.name, served.loaded_at, list(served.tasks), served.facts.max_length)


ENDPOINTS = (
    Endpoint("GET", "/v1/models", list_models, "The models served", "OpenAI", response=ModelList),
    # Names may hold a slash, as the hub's do.
    Endpoint("GET", "/v1/models/{model:path}", get_model, "One model", "OpenAI", response=ModelCard),
)
