"""Export of a head: one graph from token ids to the head's outputs."""

from __future__ import annotations

from pathlib import Path

from headway.runtime.artifact import Component, Manifest, Variant, file_entry, onnx_file_name

from .graph import finish_graph, operator_counts, save_graph, tensor_specs
from .inputs import input_builder
from .load import Checkpoint
from .progress import Stages
from .trace import OPSET, model_outputs, trace_head
from .verify import verify_head


def export_head(checkpoint: Checkpoint, folder: Path, tolerance: float, stages: Stages) -> Manifest:
    """Trace, write and verify the graph of a head.

    Args:
        folder: the artifact being written.
        tolerance: largest relative error against PyTorch that is accepted.

    Raises:
        ExportError, VerificationError: tracing failed, or the graph disagrees with PyTorch.
    """
    model, task = checkpoint.model, checkpoint.task
    with stages.stage("trace"):
        builder = input_builder(model, task, checkpoint.tokenizer)
        example = builder.trace_example()
        wanted = tuple(name for name in task.outputs if not (checkpoint.missing_pooler and name == "pooler_output"))
        outputs = model_outputs(model, example, wanted)
        trace = trace_head(model, task, example, outputs)
        graph = finish_graph(trace.graph, dict.fromkeys(example, task.axes), outputs)
    with stages.stage("write"):
        path = folder / onnx_file_name("model", "fp32")
        files = save_graph(graph, path)
    with stages.stage("verify"):
        verification = verify_head(model, path, builder.verification_cases(), outputs, tolerance)
    component = Component(
        file=path.relative_to(folder).as_posix(),
        inputs=tensor_specs(graph.graph.inputs),
        outputs=tensor_specs(graph.graph.outputs),
        opset=OPSET,
        operators=operator_counts(graph),
    )
    variant = Variant(
        components={"model": component},
        files=tuple(file_entry(folder, file) for file in files),
        verification=verification.to_dict(),
    )
    return Manifest(
        task=task.name,
        architecture=type(model).__name__,
        model_type=model.config.model_type,
        variants={"fp32": variant},
        trace={"path": trace.path, "refused": dict(trace.refused)},
        max_length=builder.max_length,
        heads=(task.name,),
    )
