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


# Measured on SmolLM2-135M: at 8 bits blocks of 64 decode 7 % faster than of 32, and perplexity is 0.8 % higher than
# float32's, not 0.4.
_Q8_BLOCK = 32


# Output channels for each input channel, from which a layer is taken for the first of a feed-forward layer, or for the
# projection to a vocabulary. Packed queries, keys and values have three at most.
_FEED_FORWARD, _VOCABULARY = 3.5, 16


def _q4_block(out_features: int, in_features: int) -> int:
    """Large blocks where small ones buy least: in square layers, and in the first of a feed-forward layer.

    Measured on SmolLM2-135M: blocks of 32 everywhere take 3 % longer to decode than these, and blocks of 64 everywhere
    as long as these.
    """
    widening = out_features / in_features
    return 64 if widening == 1 or _FEED_FORWARD <= widening < _VOCABULARY else 32


def _q8(model: onnx_ir.Model, calibration: Calibration) -> None:
    quantize_weights(model, lambda name: 8, _Q8_BLOCK)


def _q4(model: onnx_ir.Model, calibration: Calibration) -> None:
    """4 bits; 8 for layers that are spared, and for embeddings and output projections that nothing calibrates.

    Rounded to nearest, embeddings and output projection cost SmolLM2-135M more perplexity (20 %) than all other layers
    together; rounded by the covariance of what they are multiplied by, 1 to 2 %.
    """
    calibrated = {linear.name for linear in find_linears(model) if linear.activation.name in calibration.covariances}
    eight = table_names(model)
    eight |= {linear.name for linear in find_linears(model) if linear.node.outputs[0].is_graph_output()}
    eight = (eight - calibrated) | set(calibration.spared)
    quantize_weights(model, lambda name: 8 if name in eight else 4, _q4_block, calibration.covariances)


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
