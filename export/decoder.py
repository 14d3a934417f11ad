"""Export of a causal language model: one graph for prefill, chunked prefill and decode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnx_ir
from transformers import PreTrainedModel

from headway.runtime.artifact import Component, Manifest, Variant, file_entry, onnx_file_name
from headway.runtime.errors import ExportError, VerificationError
from headway.runtime.generation.decoder import ROTARY_SWITCH_KEY

from .decoder_cache import RefusedError
from .decoder_fallback import GrowingTrace, trace_growing_decoder
from .decoder_recompute import trace_recomputing_decoder
from .decoder_trace import trace_decoder
from .decoder_verify import verify_decoder
from .fusions.base import apply_fusions
from .fusions.out_in_weight import OutInWeight
from .fusions.pipeline import fuse_decoder, fusion_summary
from .graph import drop_unused_inputs, finish_graph, operator_counts, save_graph, tensor_specs
from .inputs import longest_input
from .load import Checkpoint
from .operators import ONNX_OPSET
from .patches import model_patches
from .progress import Stages
from .standard_operators import write_out
from .trace import quiet, reason


@dataclass(frozen=True)
class DecoderTrace:
    """A finished graph, and what was fused in it."""

    graph: onnx_ir.Model
    fusions: tuple[str, ...] = ()


Tracer = Callable[[PreTrainedModel, int | None], DecoderTrace]


def export_decoder(checkpoint: Checkpoint, folder: Path, tolerance: float, stages: Stages) -> Manifest:
    """Trace, write and verify the graph of a causal language model, by the first path that passes verification.

    Args:
        folder: the artifact being written.
        tolerance: largest relative error of logits against PyTorch that is accepted.

    Raises:
        ExportError, VerificationError: no path gives a graph that agrees with PyTorch.
    """
    model = checkpoint.model.eval()
    max_length = longest_input(model)
    refused: dict[str, str] = {}
    for path, tracer in (_COMPAT_PATHS if checkpoint.compat else _PATHS).items():
        try:
            variant = _export_variant(checkpoint, max_length, tracer, folder, tolerance, stages)
        except VerificationError as error:
            refused[path] = str(error)
        except Exception as error:
            # Tracing runs the model's own code: whatever it raises, the next path gets its turn.
            refused[path] = _reason(error)
        else:
            return _manifest(checkpoint, variant, {"path": path, "refused": refused}, max_length)
    reasons = "; ".join(f"{path}: {reason}" for path, reason in refused.items())
    raise ExportError(f"{type(model).__name__} could not be exported for text generation. {reasons}")


def _export_variant(
    checkpoint: Checkpoint,
    max_length: int | None,
    tracer: Tracer,
    folder: Path,
    tolerance: float,
    stages: Stages,
) -> Variant:
    model = checkpoint.model
    with stages.stage("trace"), quiet(), model_patches():
        trace = tracer(model, max_length)
    if checkpoint.compat:
        write_out(trace.graph)
    path = folder / onnx_file_name("model", "fp32")
    with stages.stage("write"):
        files = save_graph(trace.graph, path)
    with stages.stage("verify"):
        verification = verify_decoder(model, path, max_length, tolerance)
    component = Component(
        file=path.relative_to(folder).as_posix(),
        inputs=tensor_specs(trace.graph.graph.inputs),
        outputs=tensor_specs(trace.graph.graph.outputs),
        opset=ONNX_OPSET,
        operators=operator_counts(trace.graph),
    )
    return Variant(
        components={"model": component},
        files=tuple(file_entry(folder, file) for file in files),
        verification=verification.to_dict(),
        fusions=trace.fusions,
    )


def _through_interface(model: PreTrainedModel, max_length: int | None) -> DecoderTrace:
    traced = trace_decoder(model, max_length or _DEFAULT_POSITIONS)
    outcomes = (*fuse_decoder(traced.graph), *apply_fusions(traced.graph, [OutInWeight()]))
    drop_unused_inputs(traced.graph)
    finish_graph(traced.graph, traced.axes(), traced.output_names)
    if traced.switch_position:
        traced.graph.metadata_props[ROTARY_SWITCH_KEY] = str(traced.switch_position)
    return DecoderTrace(traced.graph, fusion_summary(outcomes))


def _plain(model: PreTrainedModel, max_length: int | None, *, all_logits: bool = False) -> DecoderTrace:
    return _finished(trace_growing_decoder(model, all_logits=all_logits))


def _recomputing(model: PreTrainedModel, max_length: int | None) -> DecoderTrace:
    return _finished(trace_recomputing_decoder(model))


def _finished(traced: GrowingTrace) -> DecoderTrace:
    fusions = fusion_summary(fuse_decoder(traced.graph))
    drop_unused_inputs(traced.graph)
    kept = {str(value.name) for value in traced.graph.graph.inputs}
    finish_graph(traced.graph, {name: axes for name, axes in traced.axes.items() if name in kept}, traced.output_names)
    return DecoderTrace(traced.graph, fusions)


# Positions of a rotary table where a model names no limit.
_DEFAULT_POSITIONS = 4096
_PATHS: Mapping[str, Tracer] = {
    "attention interface": _through_interface,
    "plain trace": _plain,
    "plain trace, without a cache": _recomputing,
}
# The inputs are those that optimum and transformers.js feed, who read the logits of every token.
_COMPAT_PATHS: Mapping[str, Tracer] = {
    "plain trace": partial(_plain, all_logits=True),
    "plain trace, without a cache": _recomputing,
}


def _manifest(
    checkpoint: Checkpoint, variant: Variant, trace: Mapping[str, object], max_length: int | None
) -> Manifest:
    model, task = checkpoint.model, checkpoint.task
    return Manifest(
        task=task.name,
        architecture=type(model).__name__,
        model_type=model.config.model_type,
        variants={"fp32": variant},
        trace=trace,
        max_length=max_length,
        heads=(task.name,),
    )


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, RefusedError) else reason(error)
