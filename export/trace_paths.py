"""The ways to trace a head, best first."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir
import onnxscript.optimizer
import torch
from transformers import PreTrainedModel

from .attention import INTERFACE_NAME, CallCounter, attention_implementation
from .conversion import convert_program
from .decoder_experts import experts_as_operators
from .decoder_norms import norms_as_operators
from .fusions.pipeline import fuse_decoder, fusion_summary
from .operators import ONNX_OPSET


@dataclass(frozen=True)
class TraceJob:
    """What is traced.

    Args:
        model: in evaluation mode.
        example: inputs to trace with, none of whose axes has size one.
        axes: input → names of its axes; an empty name stands for a fixed size.
        outputs: fields of the model's output that become graph outputs.
        max_length: longest text the graph must take; None for any.
    """

    model: PreTrainedModel
    example: Mapping[str, torch.Tensor]
    axes: Mapping[str, Sequence[str]]
    outputs: tuple[str, ...]
    max_length: int | None = None

    def dynamic_shapes(self) -> dict[str, dict[int, Any]]:
        """Every named axis is dynamic: DYNAMIC fails where a model bakes in a size, AUTO would do so silently."""
        return {
            name: {index: torch.export.Dim.DYNAMIC for index, axis in enumerate(self.axes[name]) if axis}
            for name in self.example
        }


@dataclass(frozen=True)
class Traced:
    """A graph, whether Headway's attention is in it, and what each fusion did."""

    graph: onnx_ir.Model
    through_interface: bool
    fusions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Path:
    """A way to trace.

    Args:
        name: how reports call it.
        trace: gives the graph.
        without_interface: its name where the model's attention does not go through the interface.
    """

    name: str
    trace: Callable[[TraceJob], Traced]
    without_interface: str


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


def with_operators(job: TraceJob) -> Traced:
    """Trace the model with whatever operators it can take in place of its own parts."""
    with (
        norms_as_operators(job.model),
        experts_as_operators(job.model),
        attention_implementation(job.model, INTERFACE_NAME),
        CallCounter() as counter,
    ):
        graph = _trace(job)
    fusions = fusion_summary(fuse_decoder(graph))
    return Traced(graph, counter.calls > 0, fusions)


def as_it_is(job: TraceJob) -> Traced:
    """Trace the model with its own parts."""
    graph = _trace(job)
    onnxscript.optimizer.optimize_ir(graph)
    return Traced(graph, through_interface=False)


def transformers_exporter(job: TraceJob) -> Traced:
    """Trace with transformers' exporter, whose patches make many models traceable."""
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    config = OnnxConfig(dynamic=True, dynamic_shapes=job.dynamic_shapes(), opset_version=ONNX_OPSET)
    with _only_outputs(job.model, job.outputs):
        graph, _ = OnnxExporter().export_program(job.model, dict(job.example), config)
    return Traced(graph, through_interface=False)


def exporter_through_interface(job: TraceJob) -> Traced:
    """Trace with transformers' exporter and Headway's attention."""
    with attention_implementation(job.model, INTERFACE_NAME), CallCounter() as counter:
        traced = transformers_exporter(job)
    return Traced(traced.graph, counter.calls > 0)


# In the order in which they are tried.
PATHS = (
    Path("attention interface", with_operators, "direct trace"),
    Path("attention interface, transformers exporter", exporter_through_interface, "transformers exporter"),
    Path("transformers exporter", transformers_exporter, "transformers exporter"),
    Path("plain trace", as_it_is, "plain trace"),
)


def _trace(job: TraceJob) -> onnx_ir.Model:
    head = Head(job.model, job.example, job.outputs)
    shapes = (tuple(job.dynamic_shapes().values()),)
    program = torch.export.export(head, tuple(job.example.values()), dynamic_shapes=shapes, strict=False)
    return convert_program(program, {}, list(job.example), list(job.outputs))


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
