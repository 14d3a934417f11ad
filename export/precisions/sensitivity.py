"""Which layers a precision hurts most, measured on the activations of real inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir

from .activations import Feeds, visit_activations
from .blocks import quantize_blocks
from .dynamic_int8 import rounded_activations, rounded_per_channel, rounded_rows
from .gates import is_gated
from .linears import Floats, Linear, find_linears
from .smoothing import smooth

# Rows of activations that a layer is tried on, and output channels: a sample tells which layers hurt.
_SAMPLED_ROWS, _SAMPLED_CHANNELS = 256, 256

# Activations (rows, in) and weight (out, in) → what the precision makes of their product.
Product = Callable[[Floats, Floats], Floats]


def most_sensitive(
    path: Path, feeds: Sequence[Feeds], dtype: str, share: float, largest: Mapping[str, Floats] | None = None
) -> list[str]:
    """Names of the weights whose products a precision changes most.

    Args:
        path: the fp32 graph.
        feeds: inputs of as many runs; the first is used. Without any there is nothing to measure by.
        dtype: ``int8`` or ``q4``.
        share: of the layers; 0.05 is the worst twentieth.
        largest: what the precision smooths activations by, see :mod:`.smoothing`.
    """
    model = onnx_ir.load(path)
    factors = smooth(model, largest or {})
    linears = find_linears(model)
    if not feeds or not linears:
        return []
    by_activation: dict[str, list[Linear]] = {}
    for linear in linears:
        by_activation.setdefault(str(linear.activation.name), []).append(linear)
    errors: dict[str, float] = {}

    def measure(name: str, rows: Floats) -> None:
        for linear in by_activation[name]:
            smoothed = rows[:_SAMPLED_ROWS] / factors.get(name, np.float32(1))
            errors[linear.name] = _error(_PRODUCTS[dtype](linear), smoothed, linear)

    visit_activations(path, feeds[:1], measure)
    ranked = sorted(errors, key=lambda name: -errors[name])
    return ranked[: math.ceil(len(ranked) * share)]


def _error(product: Product, rows: Floats, linear: Linear) -> float:
    """Relative squared error of the layer's output."""
    weight = linear.weight_values()[:_SAMPLED_CHANNELS]
    expected = rows @ weight.T
    difference = product(rows, weight) - expected
    return float(np.square(difference).sum() / max(float(np.square(expected).sum()), 1e-30))


def _int8_product(linear: Linear) -> Product:
    rounded = rounded_rows if is_gated(linear.activation) else rounded_activations

    def product(rows: Floats, weight: Floats) -> Floats:
        codes, scales = rounded_per_channel(weight)
        values: Floats = rounded(rows) @ (codes * scales[:, None]).T
        return values

    return product


def _q4_product(linear: Linear) -> Product:
    def product(rows: Floats, weight: Floats) -> Floats:
        values: Floats = rows @ quantize_blocks(weight, 4, 32).values().T
        return values

    return product


_PRODUCTS: Mapping[str, Callable[[Linear], Product]] = {"int8": _int8_product, "q4": _q4_product}
