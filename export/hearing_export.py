"""Export of a language model that hears: speech language models such as Qwen2-Audio, Voxtral and Granite Speech.

One graph turns audio into vectors; the other is the language model, in which they take the place of tokens.
"""

from __future__ import annotations

from pathlib import Path

from headway.runtime.artifact import Manifest, Variant, file_entry
from headway.runtime.errors import OptionError

from .hearing_graphs import trace_hearing_decoder, trace_hearing_encoder
from .hearing_inputs import HearingInputs
from .hearing_verify import verify_hearing
from .inputs import longest_input
from .load import Checkpoint
from .progress import Stages
from .seq2seq_graph import describe_component, write_graphs

ENCODER, DECODER = "encoder_model", "decoder_model"


def export_hearing(checkpoint: Checkpoint, folder: Path, tolerance: float, stages: Stages) -> Manifest:
    """Trace, write and verify both graphs.

    Args:
        folder: the artifact being written.
        tolerance: largest relative error against PyTorch that is accepted.

    Raises:
        ExportError, VerificationError: a graph cannot be traced, or disagrees with PyTorch.
        OptionError: ``compat`` is asked for.
    """
    model, task = checkpoint.model, checkpoint.task
    if checkpoint.compat:
        raise OptionError(
            f"compat=True is not written for language models that hear, such as {type(model).__name__}, whose graph is "
            "made of ONNX Runtime's own operators. Export it without."
        )
    max_length = longest_input(model)
    with stages.stage("trace"):
        inputs = HearingInputs(model)
        encoder = trace_hearing_encoder(model, inputs)
        decoder, fusions = trace_hearing_decoder(model, max_length)
    graphs = {ENCODER: encoder, DECODER: decoder}
    with stages.stage("write"):
        files = write_graphs(graphs, folder, "fp32")
    components = {name: describe_component(graph, name, "fp32") for name, graph in graphs.items()}
    with stages.stage("verify"):
        encoder_path, decoder_path = (folder / components[name].file for name in (ENCODER, DECODER))
        verification = verify_hearing(model, encoder_path, decoder_path, inputs, max_length, tolerance)
    variant = Variant(
        components=components,
        files=tuple(file_entry(folder, file) for file in files),
        verification=verification.to_dict(),
        fusions=fusions,
    )
    return Manifest(
        task=task.name,
        architecture=type(model).__name__,
        model_type=model.config.model_type,
        variants={"fp32": variant},
        trace={"path": "attention interface", "refused": {}},
        max_length=max_length,
        heads=(task.name,),
    )
