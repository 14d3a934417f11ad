"""What endpoints over heads share: inputs through a model's batcher, with limits and measurements."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..endpoints import Call
from ..heads.batcher import HeadResult
from ..heads.rounds import WRITING_TASKS
from ..local_model import LocalModel
from ..refusals import RefusedError
from ..served_model import HeadRequest, ServedModel
from .media import MEDIA_TASKS


async def run_head(
    call: Call, served: ServedModel, task: str, items: Sequence[Any], options: Mapping[str, Any]
) -> HeadResult:
    """Results of a head, one for each item, batched with those of other clients.

    A text over the model's limit is refused, unless ``options`` say what to do with it.

    Raises:
        RefusedError: too many items, or none.
        HeadwayError: an item or option cannot be used, or the server is busy.
    """
    limit = call.server.settings.heads.max_client_batch_size
    if not 0 < len(items) <= limit:
        raise RefusedError(
            413 if items else 400,
            f"The request has {len(items)} inputs; 1 to {limit} are allowed.",
            code="invalid_value",
        )
    served.require_task(task)
    if task in WRITING_TASKS:
        _require_moderate(options)
    if "truncation" not in options and task not in MEDIA_TASKS:
        options = {**options, "truncation": "error"}
    call.model = served.name
    bridge, timeout_s = call.server.bridge, call.server.settings.request_timeout_s
    started = time.monotonic()
    result = await bridge.run_head(served, HeadRequest(task, items, options), call.scope, call.receive, timeout_s)
    call.trace.head(started, result.timings)
    call.num_tokens["tokens"] = result.num_tokens
    call.server.metrics.observe_head(served.name, result.num_tokens, result.timings)
    return result


def require_dimensions(vectors: Any, wanted: int | None, served: ServedModel, status: int = 400) -> None:
    """Refuse more dimensions than the vectors (rows, dimensions) have."""
    if wanted is not None and vectors.shape[1] < wanted:
        raise RefusedError(
            status,
            f"dimensions is {wanted}; {served.name} gives {vectors.shape[1]}.",
            param="dimensions",
            code="invalid_value",
        )


def _require_moderate(options: Mapping[str, Any]) -> None:
    """Refuse texts so long or so many that everybody else would wait for them."""
    for name in _MOST.keys() & options.keys():
        value = options[name]
        if isinstance(value, int | float) and value > _MOST[name]:
            raise RefusedError(
                400, f"{name} is {value}; at most {_MOST[name]} are allowed.", param=name, code="invalid_value"
            )


# Option of generate() → the most a client may ask for.
_MOST: Mapping[str, int] = {"max_length": 4096, "max_new_tokens": 4096, "num_beams": 32, "num_return_sequences": 32}


async def run_in_model(call: Call, served: ServedModel, function: Callable[[LocalModel], Any]) -> Any:
    """What a function gives, run in the model's thread between batches.

    Args:
        call: the request.
        served: the model.
        function: an object that can be pickled, called where the model is loaded.
    """
    call.model = served.name
    bridge, timeout_s = call.server.bridge, call.server.settings.request_timeout_s
    result = await bridge.run_head(served, HeadRequest(call=function), call.scope, call.receive, timeout_s)
    return result.results
