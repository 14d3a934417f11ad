"""Which fusions a decoder graph goes through, in order."""

from __future__ import annotations

import onnx_ir
from onnxscript.optimizer import fold_constants

from .base import Fusion, FusionOutcome, apply_fusions
from .bfloat16 import BFloat16Arithmetic
from .flattened_linear import FlattenedLinear
from .linear import TransposedWeight
from .packed_projections import PackedAttentionInput, PackedProjections
from .partial_rotary import PartialRotary
from .rearranged_weight import RearrangedWeight
from .reshape import ConstantReshape, FullSlice, Identity, InverseTransposes, SameShapeReshape, SameTypeCast
from .rotary_attention import RotaryInAttention
from .skip_rms_norm import SkipRMSNorm

# Constants up to this many elements are computed at export time; weights are never touched.
_FOLDED_ELEMENTS = 1024


def fuse_decoder(graph: onnx_ir.Model) -> tuple[FusionOutcome, ...]:
    """Clean a traced decoder up and fuse it; the graph changes in place.

    Returns:
        What each fusion did, those that found nothing left out.
    """
    # Before constants are folded: folding would compute transposed weights, and hold them in memory.
    outcomes = list(apply_fusions(graph, [TransposedWeight(), RearrangedWeight()]))
    fold_constants(
        graph, onnx_shape_inference=False, input_size_limit=_FOLDED_ELEMENTS, output_size_limit=_FOLDED_ELEMENTS
    )
    rotary: list[Fusion] = [PartialRotary(), RotaryInAttention()]
    for fusions in (_tidying(), rotary, _tidying(), _FINAL):
        outcomes += apply_fusions(graph, fusions)
    return tuple(outcome for outcome in outcomes if outcome.applied or outcome.refused)


_FINAL: tuple[Fusion, ...] = (SkipRMSNorm(), PackedProjections(), PackedAttentionInput(), BFloat16Arithmetic())


def _tidying() -> list[Fusion]:
    # Reshapes meet once the transposes between them are gone, hence twice.
    return [
        Identity(),
        SameTypeCast(),
        FullSlice(),
        FlattenedLinear(),
        ConstantReshape(),
        InverseTransposes(),
        ConstantReshape(),
        SameShapeReshape(),
    ]


def fusion_summary(outcomes: tuple[FusionOutcome, ...]) -> tuple[str, ...]:
    """One line per fusion: how often it applied, and why it did not elsewhere."""
    lines: dict[str, FusionOutcome] = {}
    for outcome in outcomes:
        total = lines.setdefault(outcome.name, FusionOutcome(outcome.name))
        total.applied += outcome.applied
        total.refused += outcome.refused
    return tuple(_line(outcome) for outcome in lines.values())


def _line(outcome: FusionOutcome) -> str:
    refusals = "".join(f"; {count} refused: {reason}" for reason, count in outcome.refused.items())
    return f"{outcome.name}: {outcome.applied}{refusals}"
