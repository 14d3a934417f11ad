"""A decoder as one ONNX graph for prefill, chunked prefill and decode, traced through the attention interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import onnx_ir
import torch
from transformers import PreTrainedModel

from .conversion import convert_program
from .decoder_attention import DecoderAttention, LayerSpec, attend_through, layer_specs
from .decoder_cache import RefusedError
from .decoder_experts import experts_as_operators
from .decoder_norms import norms_as_operators
from .decoder_positions import first_position, positions_at
from .decoder_rotary import TracedRotary, rotary_as_operator
from .hearing import audio_in_place
from .operators import gather_positions

# Sizes to trace with: distinct, and none of them one, so that no axis is mistaken for another or baked in.
_BATCH, _SEQUENCE, _BUFFER, _LOGITS = 2, 5, 11, 3


class DecoderGraph(torch.nn.Module):
    """A causal language model as a function of ids, row lengths and buffers.

    Args:
        model: the language model, in evaluation mode.
        layers: sizes of its layers.
        rotary: what rotates heads while tracing.
    """

    def __init__(self, model: PreTrainedModel, layers: tuple[LayerSpec, ...], rotary: TracedRotary) -> None:
        super().__init__()
        self.model = model
        self.layers = layers
        self.rotary = rotary
        self.first_position = first_position(model)

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        seqlens_k: torch.Tensor,
        total_sequence_length: torch.Tensor,
        logits_to_keep: torch.Tensor,
        sequence_lengths: torch.Tensor,
        past: list[torch.Tensor],
        audio_features: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Logits (batch, num_logits, vocab) at the chosen positions, then each layer's updated key and value buffer.

        ``audio_features`` (tokens of audio, hidden) stand in for the tokens' embeddings, of a model that hears.
        """
        self.rotary.sequence_lengths = sequence_lengths
        pairs = list(zip(past[::2], past[1::2], strict=True))
        attention = DecoderAttention(self.layers, pairs, seqlens_k, total_sequence_length)
        with (
            attend_through(self.model, attention),
            logits_at(self.model, logits_to_keep),
            positions_at(self.model, position_ids),
            nullcontext() if audio_features is None else audio_in_place(self.model, input_ids, audio_features),
        ):
            output = self.model(
                input_ids=input_ids,
                position_ids=position_ids + self.first_position if self.first_position else position_ids,
                past_key_values=attention.cache,
                use_cache=True,
            )
        missing = [layer for layer, present in enumerate(attention.present) if present is None]
        if missing:
            raise RefusedError(f"layers {missing} do not attend through the interface")
        return (output.logits, *(buffer for present in attention.present for buffer in present or ()))


@contextmanager
def logits_at(model: PreTrainedModel, positions: torch.Tensor) -> Iterator[None]:
    """Compute logits for the chosen positions of each row only: the output projection is the largest of all."""
    head = model.get_output_embeddings()
    if head is None:
        raise RefusedError("it names no output embedding")
    handle = head.register_forward_pre_hook(lambda _, args: (gather_positions(args[0], positions), *args[1:]))
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class TracedDecoder:
    """A traced graph and the names of its parts.

    Args:
        graph: its axes have torch's names still.
        layers: sizes of its layers.
        switch_position: the longest row that uses the first of two sets of rotary angles; 0 where there is one.
    """

    graph: onnx_ir.Model
    layers: tuple[LayerSpec, ...]
    switch_position: int = 0

    @property
    def output_names(self) -> list[str]:
        """Logits, then each layer's buffers."""
        return _output_names(len(self.layers))

    def axes(self) -> dict[str, tuple[str, ...]]:
        """Input → names of its axes, empty where the size is fixed."""
        axes: dict[str, tuple[str, ...]] = dict(_AXES)
        for index in range(len(self.layers)):
            for name in _layer_names("past_key_values", index):
                axes[name] = _BUFFER_AXES
        axes[AUDIO_FEATURES] = ("num_audio_tokens", "")
        kept = {str(value.name) for value in self.graph.graph.inputs}
        return {name: names for name, names in axes.items() if name in kept}


_AXES: Mapping[str, tuple[str, ...]] = {
    "input_ids": ("batch_size", "sequence_length"),
    "position_ids": ("batch_size", "sequence_length"),
    "seqlens_k": ("batch_size",),
    "total_sequence_length": (),
    "logits_to_keep": ("batch_size", "num_logits"),
    "sequence_lengths": ("batch_size",),
}
_BUFFER_AXES = ("batch_size", "", "past_sequence_length", "")
AUDIO_FEATURES = "audio_features"


def trace_decoder(model: PreTrainedModel, max_positions: int, *, hears: bool = False) -> TracedDecoder:
    """Trace through the attention interface.

    Args:
        max_positions: how many positions rotary tables hold.
        hears: whether the graph takes ``audio_features`` that stand in for tokens of audio.

    Raises:
        RefusedError: the model does something that the operators cannot express.
    """
    layers = layer_specs(model)
    inputs, shapes = _example_inputs(layers), _dynamic_shapes(len(layers))
    names = _input_names(len(layers))
    if hears:
        width = model.get_input_embeddings().weight.shape[1]
        inputs[AUDIO_FEATURES] = torch.zeros(_LOGITS + 1, width)
        shapes, names = {**shapes, AUDIO_FEATURES: {0: torch.export.Dim.DYNAMIC}}, [*names, AUDIO_FEATURES]
    with (
        norms_as_operators(model),
        rotary_as_operator(model, max_positions) as rotary,
        experts_as_operators(model),
        torch.no_grad(),
    ):
        program = torch.export.export(
            DecoderGraph(model, layers, rotary), (), inputs, dynamic_shapes=shapes, strict=False
        )
        graph = convert_program(program, inputs, names, _output_names(len(layers)))
    _name_weights_like_the_model(graph)
    return TracedDecoder(graph, layers, rotary.switch_position)


def _name_weights_like_the_model(graph: onnx_ir.Model) -> None:
    """Take the wrapper's own attribute off the names of weights."""
    initializers = graph.graph.initializers
    for name in list(initializers):
        bare = name.removeprefix("model.")
        if bare not in initializers:
            value = initializers.pop(name)
            value.name = bare
            initializers[bare] = value


def _example_inputs(layers: tuple[LayerSpec, ...]) -> dict[str, torch.Tensor | list[torch.Tensor]]:
    buffers = [torch.zeros(_BATCH, layer.kv_heads, _BUFFER, layer.head_dim) for layer in layers for _ in range(2)]
    return {
        "input_ids": torch.zeros(_BATCH, _SEQUENCE, dtype=torch.long),
        "position_ids": torch.arange(_SEQUENCE).repeat(_BATCH, 1),
        "seqlens_k": torch.full((_BATCH,), _SEQUENCE - 1, dtype=torch.int32),
        "total_sequence_length": torch.tensor(_SEQUENCE, dtype=torch.int32),
        "logits_to_keep": torch.zeros(_BATCH, _LOGITS, dtype=torch.long),
        "sequence_lengths": torch.full((_BATCH,), _SEQUENCE),
        "past": buffers,
    }


def _dynamic_shapes(num_layers: int) -> Mapping[str, object]:
    batch, sequence, buffer, logits = (
        torch.export.Dim(name, min=1)
        for name in ("batch_size", "sequence_length", "past_sequence_length", "num_logits")
    )
    return {
        "input_ids": {0: batch, 1: sequence},
        "position_ids": {0: batch, 1: sequence},
        "seqlens_k": {0: batch},
        "total_sequence_length": None,
        "logits_to_keep": {0: batch, 1: logits},
        "sequence_lengths": {0: batch},
        "past": [{0: batch, 2: buffer} for _ in range(2 * num_layers)],
    }


def _input_names(num_layers: int) -> list[str]:
    return [*_AXES, *(name for layer in range(num_layers) for name in _layer_names("past_key_values", layer))]


def _output_names(num_layers: int) -> list[str]:
    return ["logits", *(name for layer in range(num_layers) for name in _layer_names("present", layer))]


def _layer_names(prefix: str, layer: int) -> tuple[str, str]:
    return f"{prefix}.{layer}.key", f"{prefix}.{layer}.value"
