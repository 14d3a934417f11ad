"""A model to an ONNX graph: through the attention interface, else transformers' exporter, else a plain trace."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir
import torch
from transformers import PreTrainedModel

from headway.runtime.errors import ExportError

from .attention import INTERFACE_NAME, CallCounter, attention_implementation
from .tasks import Task

OPSET = 20


class NotApplicableError(Exception):
    """A tracing path does not fit the model; the message says why."""


@dataclass(frozen=True)
class Trace:
    """A traced graph, the path that gave it, and why earlier paths did not."""

    graph: onnx_ir.Model
    path: str
    refused: Mapping[str, str]


class Head(torch.nn.Module):
    """The model as a function of the named inputs that returns the named outputs as a tuple."""

    def __init__(self, model: PreTrainedModel, inputs: Iterable[str], outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.inputs = tuple(inputs)
        self.outputs = outputs

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run the model; each output is a tensor."""
        result = self.model(**dict(zip(self.inputs, inputs, strict=True)), return_dict=True)
        return tuple(result[name] for name in self.outputs)


def trace_head(
    model: PreTrainedModel, task: Task, example: Mapping[str, torch.Tensor], outputs: tuple[str, ...]
) -> Trace:
    """Trace with the first path that works.

    Args:
        example: inputs to trace with; every axis is dynamic.
        outputs: fields of the model's output that become graph outputs.

    Raises:
        ExportError: no path works; the message holds every reason.
    """
    refused: dict[str, str] = {}
    for path, tracer in _PATHS.items():
        try:
            with quiet(), torch.no_grad():
                graph = tracer(model, dict(example), outputs)
            return Trace(graph, path, refused)
        except Exception as error:
            # Tracing runs the model's own code: whatever it raises, the next path gets its turn.
            refused[path] = reason(error)
    reasons = "; ".join(f"{path}: {reason}" for path, reason in refused.items())
    raise ExportError(f"{type(model).__name__} could not be traced for {task.name}. {reasons}")


def model_outputs(
    model: PreTrainedModel, example: Mapping[str, torch.Tensor], wanted: tuple[str, ...]
) -> tuple[str, ...]:
    """Those of the wanted output fields that the model returns as tensors.

    Raises:
        ExportError: the first wanted field is missing.
    """
    with torch.no_grad():
        result = model(**example, return_dict=True)
    present = tuple(name for name in wanted if isinstance(result.get(name), torch.Tensor))
    if not present or present[0] != wanted[0]:
        raise ExportError(f"{type(model).__name__} returns {', '.join(result)}, not {wanted[0]}.")
    return present


def _through_interface(
    model: PreTrainedModel, example: dict[str, torch.Tensor], outputs: tuple[str, ...]
) -> onnx_ir.Model:
    with attention_implementation(model, INTERFACE_NAME), CallCounter() as counter:
        graph = _convert(_export_program(model, example, outputs), example, outputs)
    if counter.calls == 0:
        raise NotApplicableError("its attention does not go through the interface")
    return graph


def _transformers_exporter(
    model: PreTrainedModel, example: dict[str, torch.Tensor], outputs: tuple[str, ...]
) -> onnx_ir.Model:
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    shapes = _dynamic_shapes(example)
    config = OnnxConfig(dynamic=True, dynamic_shapes=shapes, opset_version=OPSET)
    with _only_outputs(model, outputs):
        graph, _ = OnnxExporter().export_program(model, example, config)
    return graph


def _plain(model: PreTrainedModel, example: dict[str, torch.Tensor], outputs: tuple[str, ...]) -> onnx_ir.Model:
    return _convert(_export_program(model, example, outputs), example, outputs)


_PATHS: Mapping[str, Callable[[PreTrainedModel, dict[str, torch.Tensor], tuple[str, ...]], onnx_ir.Model]] = {
    "attention interface": _through_interface,
    "transformers exporter": _transformers_exporter,
    "plain trace": _plain,
}


def _export_program(
    model: PreTrainedModel, example: dict[str, torch.Tensor], outputs: tuple[str, ...]
) -> torch.export.ExportedProgram:
    shapes = (tuple(_dynamic_shapes(example).values()),)
    head = Head(model, example, outputs)
    return torch.export.export(head, tuple(example.values()), dynamic_shapes=shapes, strict=False)


def _convert(
    program: torch.export.ExportedProgram, example: dict[str, torch.Tensor], outputs: tuple[str, ...]
) -> onnx_ir.Model:
    onnx_program = torch.onnx.export(
        program,
        tuple(example.values()),
        input_names=list(example),
        output_names=list(outputs),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    if onnx_program is None:
        raise ExportError("torch.onnx.export returned nothing")
    return onnx_program.model


def _dynamic_shapes(example: Mapping[str, torch.Tensor]) -> dict[str, dict[int, Any]]:
    # DYNAMIC fails where a model bakes in a size; AUTO would do so silently.
    return {name: dict.fromkeys(range(tensor.dim()), torch.export.Dim.DYNAMIC) for name, tensor in example.items()}


@contextlib.contextmanager
def _only_outputs(model: PreTrainedModel, outputs: tuple[str, ...]) -> Iterator[None]:
    """Let the model return only the named outputs, as a dict."""
    original = model.forward

    def forward(*args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        result = original(*args, **kwargs)
        return {name: result[name] for name in outputs}

    forward.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    model.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        del model.forward


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep torch's and onnxscript's chatter off the terminal; errors still raise."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.onnx", "onnxscript", "onnx_ir", "transformers")]
    levels = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)


def reason(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return first[:300] if isinstance(error, NotApplicableError) else f"{type(error).__name__}: {first[:300]}"
