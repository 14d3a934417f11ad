"""Move size from activations into weights, so that one scale for a tensor of activations loses little.

After a normalisation a few channels are much larger than the rest, and always the same ones. Dividing each channel by a
factor there, and multiplying the weights that read it by the same, changes nothing in float32 and costs nothing at run
time: the factor goes into the normalisation's own weight (SmoothQuant, https://arxiv.org/abs/2211.10438).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir

from ..fusions.base import add_initializer, only_user
from .activations import Feeds, visit_activations
from .linears import Floats, Linear, find_linears, stored_values

# How much of the difference between channels the weights take over. Measured on SmolLM2-135M in int8, whose perplexity
# rises by 5 % without: 4 % at 0.3, 2.9 at 0.5, 1.5 at 0.7, 1.8 at 0.8.
_MIGRATION = 0.7
# Channels that calibration hardly saw may be larger on other texts: none counts as smaller than this share of the mean.
_LEAST_SHARE = 0.01
# Runs of the calibration that are looked at.
_RUNS = 16

# Normalisation → which inputs scale its output: the weight, and the bias where there is one.
_SCALING_INPUTS: Mapping[str, tuple[int, ...]] = {
    "LayerNormalization": (1, 2),
    "RMSNormalization": (1,),
    "SimplifiedLayerNormalization": (1,),
    "SkipLayerNormalization": (2, 3),
    "SkipSimplifiedLayerNormalization": (2,),
}


@dataclass(frozen=True)
class _Site:
    """A normalisation and the linear layers that are all that reads it."""

    norm: onnx_ir.Node
    linears: tuple[Linear, ...]

    @property
    def activation(self) -> str:
        """Name of the value between them."""
        return str(self.norm.outputs[0].name)


def largest_activations(path: Path, feeds: Sequence[Feeds]) -> dict[str, Floats]:
    """The largest absolute value of each channel that goes into a linear layer after a normalisation.

    Args:
        path: the float32 graph.
        feeds: inputs of as many runs, of which a few are taken.

    Returns:
        Activation's name → (channels,) float32.
    """
    names = [site.activation for site in _sites(onnx_ir.load(path))]
    largest: dict[str, Floats] = {}

    def record(name: str, rows: Floats) -> None:
        found = np.abs(rows).max(axis=0)
        largest[name] = np.maximum(largest[name], found) if name in largest else found

    if names:
        visit_activations(path, feeds[:_RUNS], record, names)
    return largest


def smooth(model: onnx_ir.Model, largest: Mapping[str, Floats]) -> dict[str, Floats]:
    """Rescale the channels between normalisations and linear layers; changes in place.

    Args:
        largest: what :func:`largest_activations` found.

    Returns:
        Activation's name → (channels,) float32, what each channel has been divided by.
    """
    sites = [site for site in _sites(model) if site.activation in largest]
    return {site.activation: _rescale(site, largest[site.activation]) for site in sites}


def _sites(model: onnx_ir.Model) -> Iterator[_Site]:
    by_activation: dict[onnx_ir.Value, list[Linear]] = {}
    for linear in find_linears(model):
        by_activation.setdefault(linear.activation, []).append(linear)
    for activation, linears in by_activation.items():
        norm = activation.producer()
        if norm is None or norm.op_type not in _SCALING_INPUTS or activation is not norm.outputs[0]:
            continue
        is_all = len(activation.uses()) == len(linears) and not activation.is_graph_output()
        if is_all and all(map(_is_read_once, linears)) and all(map(_is_stored, _scaling_inputs(norm))):
            yield _Site(norm, tuple(linears))


def _is_read_once(linear: Linear) -> bool:
    """Whether a weight belongs to this layer alone: one that others read too cannot follow one of them."""
    reader = only_user(linear.weight)
    return reader is not None and (reader is linear.node or only_user(reader.outputs[0]) is linear.node)


def _scaling_inputs(norm: onnx_ir.Node) -> list[onnx_ir.Value | None]:
    present = [norm.inputs[index] for index in _SCALING_INPUTS[norm.op_type] if index < len(norm.inputs)]
    return [value for index, value in enumerate(present) if index == 0 or value is not None]


def _is_stored(value: onnx_ir.Value | None) -> bool:
    return value is not None and value.is_initializer() and value.const_value is not None


def _rescale(site: _Site, largest: Floats) -> Floats:
    weights = np.max([np.abs(linear.weight_values()).max(axis=0) for linear in site.linears], axis=0)
    factors = _factors(largest, weights)
    for index in _SCALING_INPUTS[site.norm.op_type]:
        value = site.norm.inputs[index] if index < len(site.norm.inputs) else None
        if value is not None:
            divided = onnx_ir.tensor((stored_values(value) / factors).astype(np.float32))
            site.norm.replace_input_with(index, add_initializer(site.norm, f"{value.name}_smoothed", divided))
    for linear in site.linears:
        linear.weight.const_value = _multiplied(linear, factors)
    return factors


def _factors(largest: Floats, weights: Floats) -> Floats:
    """(channels,) float32, their geometric mean 1."""
    logarithms = _MIGRATION * _logarithms(largest) - (1 - _MIGRATION) * _logarithms(weights)
    factors: Floats = np.exp(logarithms - logarithms.mean()).astype(np.float32)
    return factors


def _logarithms(sizes: Floats) -> Floats:
    logarithms: Floats = np.log(np.maximum(sizes, max(_LEAST_SHARE * float(sizes.mean()), 1e-20)))
    return logarithms


def _multiplied(linear: Linear, factors: Floats) -> onnx_ir.TensorProtocol:
    """The weight with each input channel multiplied, computed when it is read."""
    stored = linear.weight.const_value
    by_channel = factors if linear.is_out_in else factors[:, None]

    def compute() -> onnx_ir.TensorProtocol:
        return onnx_ir.tensor(np.asarray(stored.numpy(), dtype=np.float32) * by_channel)

    return onnx_ir.LazyTensor(compute, dtype=onnx_ir.DataType.FLOAT, shape=stored.shape, name=linear.name)
