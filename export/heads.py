"""Export of a head: one graph from token ids, images or audio to the head's outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from headway.runtime.artifact import Component, Manifest, Variant, file_entry, onnx_file_name
from headway.runtime.errors import ArtifactError, ExportError, VerificationError

from .graph import finish_graph, operator_counts, save_graph, tensor_specs
from .head_outputs import axes_of_outputs, outputs_of
from .input_probe import ProbedInputs, probe_inputs
from .inputs import Inputs
from .load import Checkpoint
from .operators import ONNX_OPSET
from .progress import Stages
from .standard_operators import write_out
from .trace import Attempt, reason, traces
from .trace_paths import PATHS, TraceJob
from .trace_paths import Path as TracePath
from .verify import Verification, verify_head


@dataclass(frozen=True)
class HeadPlan:
    """What a head's graph takes and gives, known before it is traced."""

    probed: ProbedInputs
    example: Mapping[str, torch.Tensor]
    axes: Mapping[str, tuple[str, ...]]
    outputs: tuple[str, ...]
    output_axes: Mapping[str, tuple[str | int, ...]]

    @property
    def builder(self) -> Inputs:
        """What makes inputs for the graph."""
        return self.probed.builder


def export_head(checkpoint: Checkpoint, folder: Path, tolerance: float, stages: Stages) -> Manifest:
    """Trace, write and verify the graph of a head, by the first path whose graph agrees with PyTorch.

    Args:
        folder: the artifact being written.
        tolerance: largest relative error against PyTorch that is accepted.

    Raises:
        ExportError, VerificationError: no path traces the model, or no graph agrees with PyTorch.
    """
    with stages.stage("inputs"):
        plan = plan_head(checkpoint)
    fixed = plan.builder.fixed()
    if fixed is not None:
        refused: dict[str, str] = {}
        try:
            return _export_planned(checkpoint, folder, plan, tolerance, stages, refused, PATHS[:1])
        except ExportError:
            why = next(reversed(refused.values()))
            checkpoint.warnings.append(f"The graph takes one height and width only; traced for any: {why}")
            plan = _plan(checkpoint, replace(plan.probed, builder=fixed))
    return _export_planned(checkpoint, folder, plan, tolerance, stages, {}, PATHS)


def _export_planned(
    checkpoint: Checkpoint,
    folder: Path,
    plan: HeadPlan,
    tolerance: float,
    stages: Stages,
    refused: dict[str, str],
    paths: Sequence[TracePath],
) -> Manifest:
    """Export by the first of the paths that does; ``refused`` is filled with why others do not."""
    job = TraceJob(checkpoint.model, plan.example, plan.axes, plan.outputs, plan.builder.max_length)
    mismatch = False
    attempts = traces(job, refused, paths)
    while True:
        with stages.stage("trace"):
            attempt = next(attempts, None)
        if attempt is None:
            raise _failure(checkpoint, refused, mismatch)
        if attempt.longest is not None:
            plan = _shortened(checkpoint, plan, attempt.longest)
        try:
            return _write(checkpoint, folder, plan, attempt, refused, tolerance, stages)
        except (ArtifactError, ExportError) as error:
            # ONNX Runtime cannot load the graph, it fixed an axis, or its numbers are wrong: another path may do.
            mismatch = mismatch or isinstance(error, VerificationError)
            refused[attempt.path] = reason(error)


def _shortened(checkpoint: Checkpoint, plan: HeadPlan, longest: int) -> HeadPlan:
    """The plan for a graph that takes shorter texts than the model; the artifact says so, and the runtime checks."""
    checkpoint.warnings.append(f"No path traced this model for every length: the graph takes {longest} tokens at most.")
    builder = replace(plan.builder, max_length=longest)  # type: ignore[type-var]
    return replace(plan, probed=replace(plan.probed, builder=builder))


def plan_head(checkpoint: Checkpoint) -> HeadPlan:
    """Find out which inputs the head takes and which outputs it gives, by running it in PyTorch."""
    probed = probe_inputs(checkpoint.model, checkpoint.task, checkpoint.tokenizer)
    if probed.left_out:
        names = ", ".join(probed.builder.names)
        checkpoint.warnings.append(f"The graph takes {names}; not {', '.join(probed.left_out)}.")
    return _plan(checkpoint, probed)


def _plan(checkpoint: Checkpoint, probed: ProbedInputs) -> HeadPlan:
    model, task = checkpoint.model, checkpoint.task
    builder, example = probed.builder, probed.builder.trace_example()
    wanted = tuple(name for name in task.outputs if not (checkpoint.missing_pooler and name == "pooler_output"))
    outputs = outputs_of(model, example, wanted)
    axes = builder.axes()
    output_axes = axes_of_outputs(model, axes, (example, builder.other_example()), outputs, builder.computed_axes)
    return HeadPlan(probed, example, axes, outputs, output_axes)


def _write(
    checkpoint: Checkpoint,
    folder: Path,
    plan: HeadPlan,
    attempt: Attempt,
    refused: Mapping[str, str],
    tolerance: float,
    stages: Stages,
) -> Manifest:
    graph = attempt.graph
    finish_graph(graph, plan.axes, plan.outputs, plan.output_axes)
    if checkpoint.compat:
        write_out(graph)
    file = folder / onnx_file_name("model", "fp32")
    with stages.stage("write"):
        files = save_graph(graph, file)
    with stages.stage("verify"):
        cases = plan.builder.verification_cases()
        verification = verify_head(checkpoint.model, file, cases, plan.outputs, tolerance)
    return _manifest(checkpoint, folder, plan, attempt, files, verification, refused)


def _manifest(
    checkpoint: Checkpoint,
    folder: Path,
    plan: HeadPlan,
    attempt: Attempt,
    files: list[Path],
    verification: Verification,
    refused: Mapping[str, str],
) -> Manifest:
    model, task, graph = checkpoint.model, checkpoint.task, attempt.graph
    component = Component(
        file=files[0].relative_to(folder).as_posix(),
        inputs=tensor_specs(graph.graph.inputs),
        outputs=tensor_specs(graph.graph.outputs),
        opset=ONNX_OPSET,
        operators=operator_counts(graph),
        defaults=plan.probed.defaults,
    )
    variant = Variant(
        components={"model": component},
        files=tuple(file_entry(folder, file) for file in files),
        verification=verification.to_dict(),
        fusions=attempt.fusions,
    )
    return Manifest(
        task=task.name,
        architecture=type(model).__name__,
        model_type=model.config.model_type,
        variants={"fp32": variant},
        trace={"path": attempt.path, "refused": dict(refused)},
        max_length=plan.builder.max_length,
        heads=(task.name,),
    )


def _failure(checkpoint: Checkpoint, refused: Mapping[str, str], mismatch: bool) -> ExportError:
    reasons = "; ".join(f"{path}: {why}" for path, why in refused.items())
    name, task = type(checkpoint.model).__name__, checkpoint.task.name
    error = VerificationError if mismatch else ExportError
    return error(f"{name} could not be exported for {task}. Nothing was written. {reasons}")
