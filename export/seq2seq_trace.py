"""An encoder-decoder as two ONNX graphs: the encoder with cross-attention's keys and values, and the decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir
import torch
from transformers import PreTrainedModel

from headway.runtime.errors import ExportError

from .attention import INTERFACE_NAME, CallCounter, additive_mask, attention_implementation
from .conversion import convert_program
from .decoder_attention import attend_through
from .decoder_norms import norms_as_operators
from .patches import model_patches
from .seq2seq_attention import CrossSharingAttention, no_attention
from .seq2seq_cache import TracedCache, pairs
from .seq2seq_graph import finish_decoder, finish_encoder
from .seq2seq_mask import MASK, encoder_mask
from .seq2seq_spec import EncoderOutput, MaskSource, Seq2SeqSpec, run_decoder, run_encoder
from .trace import NotApplicableError, quiet, reason

# Sizes to trace the decoder with: distinct, and none of them one, so that no axis is mistaken for another or baked in.
_ROWS_PER_INPUT, _SEQUENCE, _PAST = 3, 4, 5
_DYNAMIC = torch.export.Dim.DYNAMIC

Tracer = Callable[[PreTrainedModel, Seq2SeqSpec, Mapping[str, torch.Tensor]], onnx_ir.Model]


class EncoderGraph(torch.nn.Module):
    """The encoder as a function of its inputs: hidden states, maybe their mask, then cross-attention's states."""

    def __init__(self, model: PreTrainedModel, spec: Seq2SeqSpec) -> None:
        super().__init__()
        self.model = model
        self.spec = spec

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(batch, sequence, hidden), and (batch, heads, sequence, head_dim) for each key and value."""
        named = dict(zip(self.spec.encoder_inputs, inputs, strict=True))
        encoded = run_encoder(self.model, named)
        hidden = encoded.last_hidden_state
        cache = TracedCache({}, {})
        # One token through the decoder computes them; all else it computes is dead code, and dropped.
        first_token = torch.zeros(hidden.shape[0], 1, dtype=torch.long)
        with attend_through(self.model, no_attention, additive_mask), encoder_mask(self.model) as masks:
            run_decoder(self.model, first_token, encoded, named.get("attention_mask"), cache)
        caught = masks[-1] if self.spec.mask is MaskSource.ENCODER else None
        mask = [] if caught is None else [caught.long()]
        states = (cache.encoder_present[layer] for layer in self.spec.encoder_states)
        return (hidden, *mask, *(tensor for pair in states for tensor in pair))


class DecoderGraph(torch.nn.Module):
    """The decoder as a function of new ids, past keys and values, and the encoder's."""

    def __init__(self, model: PreTrainedModel, spec: Seq2SeqSpec, *, shares_rows: bool) -> None:
        super().__init__()
        self.model = model
        self.spec = spec
        self.shares_rows = shares_rows

    def forward(
        self,
        input_ids: torch.Tensor,
        encoder_attention_mask: torch.Tensor | None,
        past: list[torch.Tensor],
        cross: list[torch.Tensor],
    ) -> tuple[torch.Tensor, ...]:
        """Logits (batch, sequence, vocab), then each layer's key and value, past and new."""
        cache = TracedCache(pairs(past, self.spec.decoder_states), pairs(cross, self.spec.encoder_states))
        # Only its shape is looked at: what cross-attention reads of the encoder is in the cache.
        length = (cross[0].shape[0], cross[0].shape[2])
        shape = length if encoder_attention_mask is None else tuple(encoder_attention_mask.shape)
        encoded = EncoderOutput(last_hidden_state=cross[0].new_zeros(*shape, self.spec.hidden_size))
        if not self.shares_rows:
            logits = self._run(input_ids, encoded, encoder_attention_mask, cache)
        else:
            attention = CrossSharingAttention(cache)
            with attend_through(self.model, attention, additive_mask):
                logits = self._run(input_ids, encoded, encoder_attention_mask, cache)
            if attention.num_calls < len(self.spec.decoder_states) + len(self.spec.encoder_states):
                raise NotApplicableError("its decoder's attention does not go through the interface")
        states = (cache.decoder_present[layer] for layer in self.spec.decoder_states)
        return (logits, *(tensor for pair in states for tensor in pair))

    def _run(
        self, input_ids: torch.Tensor, encoded: EncoderOutput, mask: torch.Tensor | None, cache: TracedCache
    ) -> torch.Tensor:
        if self.spec.mask is MaskSource.INPUT:
            return run_decoder(self.model, input_ids, encoded, mask, cache)
        with encoder_mask(self.model, mask):
            return run_decoder(self.model, input_ids, encoded, None, cache)


class GraphSource:
    """One of the two graphs, finished, by the first path that traces it; :meth:`reject` goes on to the next.

    Args:
        side: ``"encoder"`` or ``"decoder"``.
        encoder_inputs: an example of the encoder's inputs; every axis of them is dynamic.

    Raises:
        ExportError: no path works; the message holds every reason.
    """

    def __init__(
        self, side: str, model: PreTrainedModel, spec: Seq2SeqSpec, encoder_inputs: Mapping[str, torch.Tensor]
    ) -> None:
        self.side = side
        self.refused: dict[str, str] = {}
        self._trace = lambda tracer: _FINISH[side](tracer(model, spec, encoder_inputs), spec)
        self._architecture = type(model).__name__
        self._paths = iter(_PATHS[side].items())
        self.path, self.graph = self._next()

    def reject(self, why: str) -> None:
        """Trace by the next path instead, since this one's graph is wrong.

        Raises:
            ExportError: there is none left; the message holds every reason.
        """
        self.refused[f"{self.path} ({self.side})"] = why
        self.path, self.graph = self._next()

    def _next(self) -> tuple[str, onnx_ir.Model]:
        for path, tracer in self._paths:
            try:
                with quiet(), torch.no_grad(), model_patches():
                    return path, self._trace(tracer)
            except Exception as error:
                # Tracing runs the model's own code: whatever it raises, the next path gets its turn.
                self.refused[f"{path} ({self.side})"] = reason(error)
        reasons = "; ".join(f"{path}: {why}" for path, why in self.refused.items())
        raise ExportError(f"The {self.side} of {self._architecture} could not be exported. {reasons}")


def _encoder_through_interface(
    model: PreTrainedModel, spec: Seq2SeqSpec, encoder_inputs: Mapping[str, torch.Tensor]
) -> onnx_ir.Model:
    with attention_implementation(model, INTERFACE_NAME):
        with CallCounter() as counter:
            run_encoder(model, encoder_inputs)
        if counter.calls == 0:
            raise NotApplicableError("its attention does not go through the interface")
        return _trace_encoder(model, spec, encoder_inputs)


def _trace_encoder(
    model: PreTrainedModel, spec: Seq2SeqSpec, encoder_inputs: Mapping[str, torch.Tensor]
) -> onnx_ir.Model:
    inputs = dict(encoder_inputs)
    named = [spec.encoder_axes[name] for name in inputs]
    shapes = (tuple({index: _DYNAMIC for index, axis in enumerate(axes) if axis} for axes in named),)
    with norms_as_operators(model):
        program = torch.export.export(
            EncoderGraph(model, spec), tuple(inputs.values()), dynamic_shapes=shapes, strict=False
        )
        return convert_program(program, inputs, list(inputs), spec.encoder_outputs)


def _trace_decoder(
    model: PreTrainedModel,
    spec: Seq2SeqSpec,
    encoder_inputs: Mapping[str, torch.Tensor],
    *,
    shares_rows: bool,
    sequence: int = _SEQUENCE,
) -> onnx_ir.Model:
    inputs = _decoder_example(model, spec, encoder_inputs, _ROWS_PER_INPUT if shares_rows else 1, sequence)
    rows, seen = {0: _DYNAMIC}, {0: _DYNAMIC, 2: _DYNAMIC}
    shapes = {
        "input_ids": rows if sequence == 1 else {0: _DYNAMIC, 1: _DYNAMIC},
        "encoder_attention_mask": None if spec.mask is MaskSource.NONE else {0: _DYNAMIC, 1: _DYNAMIC},
        "past": [seen] * len(inputs["past"]),
        "cross": [seen] * len(inputs["cross"]),
    }
    with norms_as_operators(model):
        graph = DecoderGraph(model, spec, shares_rows=shares_rows)
        # Runs in a moment and fails where tracing would fail after a minute.
        graph(**inputs)
        program = torch.export.export(graph, (), inputs, dynamic_shapes=shapes, strict=False)
        return convert_program(program, inputs, spec.decoder_inputs, spec.decoder_outputs)


def _decoder_example(
    model: PreTrainedModel,
    spec: Seq2SeqSpec,
    encoder_inputs: Mapping[str, torch.Tensor],
    rows_per_input: int,
    sequence: int,
) -> dict[str, Any]:
    encoded = dict(zip(spec.encoder_outputs, EncoderGraph(model, spec)(*encoder_inputs.values()), strict=True))
    cross = [encoded[name] for name in spec.encoder_outputs if name.startswith("present.")]
    encoder_batch, _, encoder_length, _ = cross[0].shape
    ones = torch.ones(encoder_batch, encoder_length, dtype=torch.long)
    masks = {
        MaskSource.INPUT: encoder_inputs.get("attention_mask", ones),
        MaskSource.ENCODER: encoded.get(MASK),
        MaskSource.NONE: None,
    }
    batch = rows_per_input * encoder_batch
    return {
        "input_ids": torch.zeros(batch, sequence, dtype=torch.long),
        "encoder_attention_mask": masks[spec.mask],
        "past": spec.example_past(batch, _PAST),
        "cross": cross,
    }


_FINISH = {"encoder": finish_encoder, "decoder": finish_decoder}
_PATHS: Mapping[str, Mapping[str, Tracer]] = {
    "encoder": {"attention interface": _encoder_through_interface, "plain trace": _trace_encoder},
    "decoder": {
        "attention interface": lambda *args: _trace_decoder(*args, shares_rows=True),
        "plain trace": lambda *args: _trace_decoder(*args, shares_rows=False),
        "plain trace, one token per step": lambda *args: _trace_decoder(*args, shares_rows=False, sequence=1),
    },
}
