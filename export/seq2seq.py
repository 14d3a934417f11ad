"""Export of an encoder-decoder: an encoder graph and one decoder graph for the first and all later steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from headway.runtime.artifact import Manifest, Variant, file_entry
from headway.runtime.errors import ExportError

from .audio_inputs import AudioInputs
from .hearing import hears
from .hearing_export import export_hearing
from .input_probe import encoder_input_builder
from .inputs import InputBuilder, longest_input
from .load import Checkpoint
from .progress import Stages
from .seq2seq_graph import BATCH, ENCODER_LENGTH, describe_component, write_graphs
from .seq2seq_spec import describe
from .seq2seq_speech import SPEECH_KEY, speech_inputs
from .seq2seq_trace import GraphSource
from .seq2seq_verify import SideVerificationError, verify_seq2seq
from .standard_operators import write_out

ENCODER, DECODER = "encoder_model", "decoder_model"


def export_seq2seq(checkpoint: Checkpoint, folder: Path, tolerance: float, stages: Stages) -> Manifest:
    """Trace, write and verify both graphs, each by the first path that gives one that agrees with PyTorch.

    Args:
        folder: the artifact being written.
        tolerance: largest relative error against PyTorch that is accepted.

    Raises:
        ExportError: the model is no encoder-decoder, or no path gives a graph that agrees; the message says why.
    """
    model, task = checkpoint.model, checkpoint.task
    if hears(model):
        return export_hearing(checkpoint, folder, tolerance, stages)
    if task.key != SPEECH_KEY and not model.config.is_encoder_decoder:
        raise ExportError(
            f"{type(model).__name__} is no encoder-decoder but a language model that takes waveforms or streams among "
            "its tokens; Headway exports those that take input_features."
        )
    with stages.stage("trace"):
        builder = encoder_inputs(checkpoint)
        example = builder.trace_example()
        spec = describe(model, example, _axes(builder), is_speech=isinstance(builder, AudioInputs))
        sides = {side: GraphSource(side, model, spec, example) for side in ("encoder", "decoder")}
    while True:
        try:
            variant = _write_and_verify(checkpoint, sides, builder, folder, tolerance, stages)
            break
        except SideVerificationError as error:
            with stages.stage("trace again"):
                sides[error.side].reject(str(error))
    return Manifest(
        task=task.name,
        architecture=type(model).__name__,
        model_type=model.config.model_type,
        variants={"fp32": variant},
        trace={"path": _path(sides), "refused": sides["encoder"].refused | sides["decoder"].refused},
        max_length=builder.max_length,
        max_decoder_length=longest_input(model.get_decoder()),
        heads=(task.name,),
    )


def encoder_inputs(checkpoint: Checkpoint) -> InputBuilder | AudioInputs:
    """What makes the encoder's inputs, found out by running the model."""
    if checkpoint.task.key == SPEECH_KEY:
        return speech_inputs(checkpoint.model)
    return encoder_input_builder(checkpoint.model, checkpoint.task, checkpoint.tokenizer)


def _axes(builder: InputBuilder | AudioInputs) -> Mapping[str, tuple[str, ...]]:
    if isinstance(builder, AudioInputs):
        return builder.axes()
    return dict.fromkeys(builder.names, (BATCH, ENCODER_LENGTH))


def _write_and_verify(
    checkpoint: Checkpoint,
    sides: Mapping[str, GraphSource],
    builder: InputBuilder | AudioInputs,
    folder: Path,
    tolerance: float,
    stages: Stages,
) -> Variant:
    graphs = {ENCODER: sides["encoder"].graph, DECODER: sides["decoder"].graph}
    if checkpoint.compat:
        for graph in graphs.values():
            write_out(graph)
    with stages.stage("write"):
        files = write_graphs(graphs, folder, "fp32")
    components = {name: describe_component(graph, name, "fp32") for name, graph in graphs.items()}
    with stages.stage("verify"):
        encoder_path, decoder_path = (folder / components[name].file for name in (ENCODER, DECODER))
        verification = verify_seq2seq(checkpoint.model, encoder_path, decoder_path, builder, tolerance)
    return Variant(
        components=components,
        files=tuple(file_entry(folder, file) for file in files),
        verification=verification.to_dict(),
    )


def _path(sides: Mapping[str, GraphSource]) -> str:
    paths = {side: source.path for side, source in sides.items()}
    if len(set(paths.values())) == 1:
        return paths["encoder"]
    return ", ".join(f"{path} ({side})" for side, path in paths.items())
