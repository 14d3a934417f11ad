"""Precisions an export can write. A new one is a new entry that turns a verified fp32 graph into its variant."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import onnx_ir

from headway.runtime.errors import OptionError

from .precisions.dynamic_int8 import quantize_dynamically
from .precisions.half import halve
from .precisions.linears import Floats, find_linears, table_names
from .precisions.smoothing import smooth
from .precisions.weight_only import quantize_weights


@dataclass(frozen=True)
class Calibration:
    """What is known of one graph when it is converted.

    Args:
        covariances: activation's name → (channels, channels), of what goes into linear layers on real text.
        spared: names of weights that are to be kept more precise than the others.
        largest: activation's name → (channels,), the largest absolute values of what normalisations give linear layers.
    """

    covariances: Mapping[str, Floats] = field(default_factory=dict)
    spared: Collection[str] = ()
    largest: Mapping[str, Floats] = field(default_factory=dict)


class Convert(Protocol):
    """Turns an fp32 graph into a precision, in place."""

    def __call__(self, model: onnx_ir.Model, calibration: Calibration) -> None:
        """Convert."""


@dataclass(frozen=True)
class Precision:
    """How a precision is written.

    Args:
        convert: changes a graph in place.
        is_calibrated: it rounds by the covariances of activations.
        can_spare: it can keep single layers more precise.
        is_smoothed: it evens activations out by the largest of them.
    """

    convert: Convert
    is_calibrated: bool = False
    can_spare: bool = False
    is_smoothed: bool = False


# Channels that share a scale. Measured on SmolLM2-135M, blocks of 64 decode 7 % faster at 8 bits and 2 % faster at 4,
# and cost half a percent and a percent of perplexity. In 4 bits a last bit would depend on how many rows there are:
# ONNX Runtime (1.31) multiplies a last odd row by a kernel that adds up in another order.
_BLOCK = 32


def _q8(model: onnx_ir.Model, calibration: Calibration) -> None:
    quantize_weights(model, lambda name: 8, _BLOCK)


def _q4(model: onnx_ir.Model, calibration: Calibration) -> None:
    """4 bits; 8 for layers that are spared, and for embeddings and output projections that nothing calibrates.

    Rounded to nearest, embeddings and output projection cost SmolLM2-135M more perplexity (20 %) than all other layers
    together; rounded by the covariance of what they are multiplied by, 1 to 2 %.
    """
    calibrated = {linear.name for linear in find_linears(model) if linear.activation.name in calibration.covariances}
    eight = table_names(model)
    eight |= {linear.name for linear in find_linears(model) if linear.node.outputs[0].is_graph_output()}
    eight = (eight - calibrated) | set(calibration.spared)
    quantize_weights(model, lambda name: 8 if name in eight else 4, _BLOCK, calibration.covariances)


def _int8(model: onnx_ir.Model, calibration: Calibration) -> None:
    smooth(model, calibration.largest)
    quantize_dynamically(model, calibration.spared)


def _fp16(model: onnx_ir.Model, calibration: Calibration) -> None:
    halve(model)


REDUCED: Mapping[str, Precision] = {
    "fp16": Precision(_fp16),
    "int8": Precision(_int8, can_spare=True, is_smoothed=True),
    "q8": Precision(_q8),
    "q4": Precision(_q4, is_calibrated=True, can_spare=True),
}
PRECISIONS: tuple[str, ...] = ("fp32", *REDUCED)


def require_dtypes(dtype: str | Sequence[str]) -> tuple[str, ...]:
    """The precisions asked for, each once.

    Raises:
        OptionError: one is not written by this exporter.
    """
    names = (dtype,) if isinstance(dtype, str) else tuple(dtype)
    unknown = [name for name in names if name not in PRECISIONS]
    if unknown or not names:
        raise OptionError(f"Unknown dtype {', '.join(unknown) or '(none)'}; allowed are {', '.join(PRECISIONS)}.")
    return tuple(dict.fromkeys(names))
