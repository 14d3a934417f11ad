"""Export of an encoder-decoder: an encoder graph and one decoder graph for the first and all later steps."""

from __future__ import annotations

from pathlib import Path

from headway.runtime.artifact import Manifest, Variant, file_entry

from .input_probe import encoder_input_builder
from .inputs import longest_input
from .load import Checkpoint
from .progress import Stages
from .seq2seq_graph import describe_component, finish_decoder, finish_encoder, simplify, write_graphs
from .seq2seq_spec import describe
from .seq2seq_trace import trace_seq2seq
from .seq2seq_verify import verify_seq2seq

ENCODER, DECODER = "encoder_model", "decoder_model"
_ENCODER_AXES = ("batch_size", "encoder_sequence_length")


def export_seq2seq(checkpoint: Checkpoint, folder: Path, tolerance: float, stages: Stages) -> Manifest:
    """Trace, write and verify both graphs.

    Args:
        folder: the artifact being written.
        tolerance: largest relative error against PyTorch that is accepted.

    Raises:
        ExportError, VerificationError: tracing failed, or a graph disagrees with PyTorch.
    """
    model, task = checkpoint.model, checkpoint.task
    with stages.stage("trace"):
        builder = encoder_input_builder(model, task, checkpoint.tokenizer)
        example = builder.trace_example()
        spec = describe(model, example)
        trace = trace_seq2seq(model, spec, example)
    with stages.stage("simplify"):
        for graph in (trace.encoder, trace.decoder):
            simplify(graph)
        graphs = {
            ENCODER: finish_encoder(trace.encoder, spec, _ENCODER_AXES),
            DECODER: finish_decoder(trace.decoder, spec),
        }
        components = {name: describe_component(graph, name, "fp32") for name, graph in graphs.items()}
    with stages.stage("write"):
        files = write_graphs(graphs, folder, "fp32")
    with stages.stage("verify"):
        encoder_path, decoder_path = (folder / components[name].file for name in (ENCODER, DECODER))
        verification = verify_seq2seq(model, encoder_path, decoder_path, builder, tolerance)
    variant = Variant(
        components=components,
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
        max_decoder_length=longest_input(model.get_decoder()),
        heads=(task.name,),
    )
