"""A language model that hears as two ONNX graphs: audio to vectors, and the language model that takes them."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir
import onnxscript.optimizer
import torch
from transformers import PreTrainedModel

from headway.runtime.errors import ExportError
from headway.runtime.generation.hearing_decoder import AUDIO_TOKEN_KEY

from .attention import INTERFACE_NAME, attention_implementation
from .conversion import convert_program
from .decoder_norms import norms_as_operators
from .decoder_trace import AUDIO_FEATURES, trace_decoder
from .fusions.pipeline import fuse_decoder, fusion_summary
from .graph import drop_unused_inputs, finish_graph
from .hearing import audio_features, audio_token_of
from .hearing_inputs import HearingInputs
from .patches import model_patches
from .trace import quiet, reason

# Positions of a rotary table where a model names no limit.
_DEFAULT_POSITIONS = 4096


class EncoderGraph(torch.nn.Module):
    """What a model hears as a function of what its processor makes of audio."""

    def __init__(self, model: PreTrainedModel, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """(tokens of audio, hidden) float32, row by row."""
        return audio_features(self.model, dict(zip(self.names, inputs, strict=True)))


def trace_hearing_encoder(model: PreTrainedModel, inputs: HearingInputs) -> onnx_ir.Model:
    """The graph from audio to vectors.

    Raises:
        ExportError: it cannot be traced; the message says why.
    """
    example, axes = inputs.trace_example(), inputs.axes()
    refused = {}
    for path, implementation in {"attention interface": INTERFACE_NAME, "plain trace": "eager"}.items():
        try:
            with quiet(), torch.no_grad(), model_patches(), attention_implementation(model, implementation):
                graph = _traced(model, example, axes)
        except Exception as error:
            # Tracing runs the model's own code: whatever it raises, the next path gets its turn.
            refused[path] = reason(error)
            continue
        onnxscript.optimizer.optimize_ir(graph)
        width = model.get_input_embeddings().weight.shape[1]
        return finish_graph(graph, axes, [AUDIO_FEATURES], {AUDIO_FEATURES: ("num_audio_tokens", width)})
    reasons = "; ".join(f"{path}: {why}" for path, why in refused.items())
    raise ExportError(f"The audio encoder of {type(model).__name__} could not be exported. {reasons}")


def _traced(
    model: PreTrainedModel, example: Mapping[str, torch.Tensor], axes: Mapping[str, tuple[str, ...]]
) -> onnx_ir.Model:
    dynamic = torch.export.Dim.DYNAMIC
    shapes = (tuple({index: dynamic for index, axis in enumerate(axes[name]) if axis} for name in example),)
    with norms_as_operators(model):
        program = torch.export.export(
            EncoderGraph(model, tuple(example)), tuple(example.values()), dynamic_shapes=shapes, strict=False
        )
        return convert_program(program, {}, list(example), [AUDIO_FEATURES])


def trace_hearing_decoder(model: PreTrainedModel, max_length: int | None) -> tuple[onnx_ir.Model, tuple[str, ...]]:
    """The language model's graph, for prompts and steps alike, and what was fused in it.

    Raises:
        ExportError: it cannot be traced; the message says why.
    """
    try:
        with quiet(), model_patches():
            traced = trace_decoder(model, max_length or _DEFAULT_POSITIONS, hears=True)
    except Exception as error:
        # Tracing runs the model's own code, which fails in its own ways.
        why = f"The language model of {type(model).__name__} could not be exported. {reason(error)}"
        raise ExportError(why) from error
    fusions = fusion_summary(fuse_decoder(traced.graph))
    drop_unused_inputs(traced.graph)
    finish_graph(traced.graph, traced.axes(), traced.output_names)
    traced.graph.metadata_props[AUDIO_TOKEN_KEY] = str(audio_token_of(model))
    return traced.graph, fusions
