"""A model to an ONNX graph: through the attention interface, else transformers' exporter, else a plain trace."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir
import onnxscript.optimizer
import torch
from transformers import PreTrainedModel

from headway.runtime.errors import HeadwayError

from .attention import INTERFACE_NAME, CallCounter, attention_implementation
from .conversion import convert_program
from .decoder_experts import experts_as_operators
from .decoder_norms import norms_as_operators
from .fusions.pipeline import fuse_decoder
from .operators import ONNX_OPSET as OPSET


class NotApplicableError(Exception):
    """A tracing path does not fit the model; the message says why.

    ``graph`` is what tracing gave all the same, by a simpler path.
    """

    def __init__(self, message: str, graph: onnx_ir.Model | None = None) -> None:
        super().__init__(message)
        self.graph = graph


@dataclass(frozen=True)
class TraceJob:
    """What is traced.

    Args:
        model: in evaluation mode.
        example: inputs to trace with, none of whose axes has size one.
        axes: input → names of its axes; an empty name stands for a fixed size.
        outputs: fields of the model's output that become graph outputs.
    """

    model: PreTrainedModel
    example: Mapping[str, torch.Tensor]
    axes: Mapping[str, Sequence[str]]
    outputs: tuple[str, ...]

    def dynamic_shapes(self) -> dict[str, dict[int, Any]]:
        """Every named axis is dynamic: DYNAMIC fails where a model bakes in a size, AUTO would do so silently."""
        return {
            name: {index: torch.export.Dim.DYNAMIC for index, axis in enumerate(self.axes[name]) if axis}
            for name in self.example
        }


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


def directly(job: TraceJob) -> onnx_ir.Model:
    """Trace the model with whatever operators it can take in place of its own parts.

    Raises:
        NotApplicableError: its attention is none of these parts; the error carries the graph.
    """
    with _operators(job.model), attention_implementation(job.model, INTERFACE_NAME), CallCounter() as counter:
        graph = _trace(job)
    fuse_decoder(graph)
    return _require_calls(counter, graph)


def plain(job: TraceJob) -> onnx_ir.Model:
    """Trace the model as it is."""
    graph = _trace(job)
    onnxscript.optimizer.optimize_ir(graph)
    return graph


def exporter_through_interface(job: TraceJob) -> onnx_ir.Model:
    """Trace with transformers' exporter and Headway's attention.

    Raises:
        NotApplicableError: the model's attention does not go through the interface; the error carries the graph.
    """
    with attention_implementation(job.model, INTERFACE_NAME), CallCounter() as counter:
        graph = transformers_exporter(job)
    return _require_calls(counter, graph)


def transformers_exporter(job: TraceJob) -> onnx_ir.Model:
    """Trace with transformers' exporter, whose patches make many models traceable."""
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    config = OnnxConfig(dynamic=True, dynamic_shapes=job.dynamic_shapes(), opset_version=OPSET)
    with _only_outputs(job.model, job.outputs):
        graph, _ = OnnxExporter().export_program(job.model, dict(job.example), config)
    return graph


@dataclass(frozen=True)
class Path:
    """A way to trace.

    Args:
        name: how reports call it.
        trace: gives the graph.
        without_interface: its name where the model's attention does not go through the interface.
    """

    name: str
    trace: Callable[[TraceJob], onnx_ir.Model]
    without_interface: str


# In the order in which they are tried.
PATHS = (
    Path("attention interface", directly, "direct trace"),
    Path("attention interface, transformers exporter", exporter_through_interface, "transformers exporter"),
    Path("transformers exporter", transformers_exporter, "transformers exporter"),
    Path("plain trace", plain, "plain trace"),
)


def traces(job: TraceJob, refused: dict[str, str]) -> Iterator[tuple[str, onnx_ir.Model]]:
    """Yield (path, graph) for every path that gives a graph, one at a time, best first.

    Args:
        refused: path → why it gave none; filled on the way. The caller adds why a graph it got was no good.
    """
    for path in PATHS:
        name = path.name
        if name in refused:
            continue
        try:
            with quiet(), torch.no_grad(), _without_cache(job.model):
                graph = path.trace(job)
        except NotApplicableError as error:
            refused[name] = str(error)
            name, graph = path.without_interface, error.graph
        except Exception as error:
            # Tracing runs the model's own code: whatever it raises, the next path gets its turn.
            refused[name] = reason(error)
            continue
        if graph is not None:
            yield name, graph


def _trace(job: TraceJob) -> onnx_ir.Model:
    head = Head(job.model, job.example, job.outputs)
    shapes = (tuple(job.dynamic_shapes().values()),)
    program = torch.export.export(head, tuple(job.example.values()), dynamic_shapes=shapes, strict=False)
    return convert_program(program, {}, list(job.example), list(job.outputs))


@contextlib.contextmanager
def _operators(model: PreTrainedModel) -> Iterator[None]:
    with norms_as_operators(model), experts_as_operators(model):
        yield


def _require_calls(counter: CallCounter, graph: onnx_ir.Model) -> onnx_ir.Model:
    if counter.calls == 0:
        raise NotApplicableError("its attention does not go through the interface", graph)
    return graph


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
def _without_cache(model: PreTrainedModel) -> Iterator[None]:
    """Keep decoders from building a cache that nothing reads."""
    configs = {id(config): config for config in (model.config, model.config.get_text_config())}.values()
    before = [(config, config.use_cache) for config in configs if hasattr(config, "use_cache")]
    for config, _ in before:
        config.use_cache = False
    try:
        yield
    finally:
        for config, value in before:
            config.use_cache = value


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


def reason(error: BaseException) -> str:
    """One line of why a path did not work: the error that started it, without what was wrapped around it."""
    while (cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        error = cause
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    # torch lists the constraints that a trace broke below a line that names only where.
    line = next((line[2:] for line in lines if line.startswith("- ")), lines[0] if lines else "")[:300]
    return line if isinstance(error, (NotApplicableError, HeadwayError)) else f"{type(error).__name__}: {line}"


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
