"""KServe's v2 protocol over HTTP, as Triton's clients speak it: raw tensors, or texts as BYTES."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
import numpy as np

from ...artifact import TensorSpec
from ...errors import InputError
from ..endpoints import Call, Endpoint
from ..faults import UnavailableError
from ..http import Answer, encode_json
from ..local_model import LocalModel
from ..refusals import RefusedError, kserve_body
from ..served_model import ServedModel
from .heads import run_head, run_in_model
from .kserve_tensors import (
    DATATYPE_NAMES,
    HEADER_LENGTH,
    Array,
    InferRequest,
    InferResponse,
    read_tensors,
    split_body,
    write_tensors,
)
from .media import MEDIA_TASKS, media_of
from .pipelines import options_of, plain

_VERSION = "1"
TEXT_INPUT = "text"
"""Name of the input that texts come by; any other name does too, where it is the only one."""


class ServerMetadata(msgspec.Struct):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(msgspec.Struct):
    """A tensor that a model takes or gives; -1 is an axis of any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct):
    """A model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class Live(msgspec.Struct):
    """Whether the server runs."""

    live: bool


class Ready(msgspec.Struct):
    """Whether every model is loaded."""

    ready: bool


class ModelReady(msgspec.Struct):
    """Whether a model is loaded."""

    name: str
    ready: bool


async def server_metadata(call: Call) -> Answer:
    """What this server is."""
    from importlib.metadata import version

    return Answer.json(ServerMetadata("headway", version("headway"), ["binary_tensor_data"]))


async def live(call: Call) -> Answer:
    """200 while the server runs."""
    return Answer.json(Live(True))


async def ready(call: Call) -> Answer:
    """200 once every model is loaded."""
    registry = call.server.registry
    all_ready = not registry.failures and all(served.is_ready for served in registry.served)
    is_ready = all_ready and not call.server.is_stopping
    return Answer.json(Ready(is_ready), 200 if is_ready else 503)


async def model_metadata(call: Call) -> Answer:
    """What a model takes and gives: its graph's tensors, and texts."""
    served = _model(call)
    facts = served.facts
    inputs = [_tensor_metadata(spec) for spec in facts.inputs if not spec.name.startswith("past_")]
    outputs = [_tensor_metadata(spec) for spec in facts.outputs if not spec.name.startswith("present")]
    return Answer.json(ModelMetadata(served.name, [_VERSION], "onnxruntime_onnx", inputs, outputs))


async def model_ready(call: Call) -> Answer:
    """200 where a model is loaded."""
    served = _model(call)
    if not served.is_ready:
        raise UnavailableError(f"{served.name} is being started again; try again later.")
    return Answer.json(ModelReady(served.name, True))


async def infer(call: Call) -> Answer:
    """Run tensors through a model's graph, or texts through its head."""
    served = _model(call)
    header_length = call.header(HEADER_LENGTH)
    head, binary = split_body(await call.raw_body(), header_length)
    request: InferRequest = call.decoded(head)
    _refuse_extensions(request)
    arrays = read_tensors(request.inputs, binary)
    if all(array.dtype == object for array in arrays.values()):
        found = await _run_texts(call, served, arrays, request)
    else:
        found = await _run_tensors(call, served, arrays)
    found = _wanted(request, found)
    response = InferResponse(served.name, [], _VERSION, request.id)
    body, json_length = write_tensors(response, found, _is_binary(request, found))
    if json_length is None:
        return Answer(body)
    return Answer(body, content_type="application/octet-stream", headers={HEADER_LENGTH: str(json_length)})


async def _run_tensors(call: Call, served: ServedModel, arrays: Mapping[str, Array]) -> dict[str, Array]:
    if served.generates:
        raise RefusedError(
            400, f"{served.name} keeps a cache that raw tensors cannot carry; use /v1/completions.", code="wrong_task"
        )
    if any(array.dtype == object for array in arrays.values()):
        raise InputError("Texts and tensors cannot be mixed; send one kind.")
    found: dict[str, Array] = await run_in_model(call, served, partial(_graph_outputs, arrays))
    return found


def _graph_outputs(arrays: Mapping[str, Array], loaded: LocalModel) -> dict[str, Array]:
    model = loaded.model
    outputs = model.session.run(model.prepare_feeds(arrays))
    return dict(zip(model.session.output_names, outputs, strict=True))


async def _run_texts(
    call: Call, served: ServedModel, arrays: Mapping[str, Array], request: InferRequest
) -> dict[str, Array]:
    """Texts through the first of the model's heads."""
    if len(arrays) > 1:
        raise RefusedError(
            400, f"Texts come by one input, {TEXT_INPUT}; there are {len(arrays)}.", code="invalid_tensor"
        )
    if served.generates:
        raise RefusedError(400, "Text is generated by /v1/chat/completions and /v1/completions.", code="wrong_task")
    texts = next(iter(arrays.values())).ravel().tolist()
    task = "embed" if "embed" in served.tasks else served.tasks[0]
    if task in MEDIA_TASKS:
        texts = media_of(texts)
    options = {"top_k": None} if task == "text-classification" else {}
    result = await run_head(call, served, task, texts, {**options, **_text_options(request)})
    write = _TEXT_OUTPUTS.get(task, _as_json)
    return write(result.results)


def _text_options(request: InferRequest) -> dict[str, Any]:
    reserved = ("binary_data_output", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout")
    return options_of({name: value for name, value in (request.parameters or {}).items() if name not in reserved})


def _embeddings(results: Any) -> dict[str, Array]:
    return {"sentence_embedding": np.asarray(results, dtype=np.float32)}


def _labels(results: Any) -> dict[str, Array]:
    labels = [[entry["label"] for entry in labels] for labels in results]
    scores = [[entry["score"] for entry in labels] for labels in results]
    return {"label": np.array(labels, dtype=object), "score": np.array(scores, dtype=np.float32)}


def _as_json(results: Any) -> dict[str, Array]:
    texts = np.empty(len(results), dtype=object)
    texts[:] = [encode_json(plain(result)).decode() for result in results]
    return {"result": texts}


# Task → the tensors of its results; others give a JSON text for each input.
_TEXT_OUTPUTS: Mapping[str, Callable[[Any], dict[str, Array]]] = {"embed": _embeddings, "text-classification": _labels}


def _refuse_extensions(request: InferRequest) -> None:
    """Refuse what Triton does beyond the protocol and what would change the answer: it is never left out silently."""
    for tensor in (*request.inputs, *(request.outputs or ())):
        asked = next((name for name in _EXTENSIONS if name in (tensor.parameters or {})), None)
        if asked is not None:
            raise RefusedError(
                400,
                f"{tensor.name[:80]!r} asks for {asked}, which is not available here; /v2 lists the extensions.",
                param=asked,
                code="unsupported_parameter",
            )


# Parameters of tensors in Triton's shared memory and classification extensions.
_EXTENSIONS = ("shared_memory_region", "classification")


def _wanted(request: InferRequest, found: Mapping[str, Array]) -> dict[str, Array]:
    names = [output.name for output in request.outputs or ()]
    unknown = [name for name in names if name not in found]
    if unknown:
        raise RefusedError(
            400, f"There is no output {unknown[0][:80]!r}; there are {', '.join(found)}.", param="outputs"
        )
    return {name: found[name] for name in names} if names else dict(found)


def _is_binary(request: InferRequest, found: Mapping[str, Array]) -> dict[str, bool]:
    default = bool((request.parameters or {}).get("binary_data_output", False))
    asked = {output.name: (output.parameters or {}).get("binary_data", default) for output in request.outputs or ()}
    return {name: bool(asked.get(name, default)) for name in found}


def _model(call: Call) -> ServedModel:
    version = call.path_values.get("version", _VERSION)
    if version != _VERSION:
        raise RefusedError(404, f"There is no version {str(version)[:20]!r}; there is {_VERSION}.", code="not_found")
    return call.server.registry.get(call.path_values["model"])


def _tensor_metadata(spec: TensorSpec) -> TensorMetadata:
    shape = [axis if isinstance(axis, int) else -1 for axis in spec.shape]
    return TensorMetadata(spec.name, DATATYPE_NAMES.get(spec.dtype, "BYTES"), shape)


def _endpoint(
    method: str, path: str, handler: Any, summary: str, response: Any, request: Any = None, is_open: bool = False
) -> Endpoint:
    return Endpoint(
        method,
        path,
        handler,
        summary,
        "KServe v2",
        request=request,
        response=response,
        error_body=kserve_body,
        is_open=is_open,
    )


_MODEL = "/v2/models/{model}"
_VERSIONED = "/v2/models/{model}/versions/{version}"

ENDPOINTS = (
    _endpoint("GET", "/v2", server_metadata, "What the server is", ServerMetadata),
    _endpoint("GET", "/v2/health/live", live, "Whether the server runs", Live, is_open=True),
    Endpoint(
        "GET",
        "/v2/health/ready",
        ready,
        "Whether every model is loaded",
        "KServe v2",
        response=Ready,
        error_body=kserve_body,
        is_open=True,
        health_statuses=(503,),
    ),
    *(
        endpoint
        for path in (_MODEL, _VERSIONED)
        for endpoint in (
            _endpoint("GET", path, model_metadata, "What a model takes and gives", ModelMetadata),
            _endpoint("GET", f"{path}/ready", model_ready, "Whether a model is loaded", ModelReady),
            _endpoint("POST", f"{path}/infer", infer, "Run tensors or texts", InferResponse, InferRequest),
        )
    ),
)
