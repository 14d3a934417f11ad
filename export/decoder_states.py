"""What a traced decoder keeps from call to call, found in the cache that transformers makes for it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import (
    Cache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
)

from .decoder_cache import RefusedError

_NUM_PROBED_TOKENS = 3


@dataclass(frozen=True)
class StateLeaf:
    """One tensor of a cache.

    Args:
        layer: which layer's.
        attribute: of the layer object.
        key: in the attribute, where that is a dictionary; None where it is the tensor.
        shape: for one row and no token: its first axis is the batch.
        growing_axis: the axis with one entry per token; None for a state of fixed size.
    """

    layer: int
    attribute: str
    key: int | None
    shape: tuple[int, ...]
    growing_axis: int | None

    @property
    def name(self) -> str:
        """Ending of the input's and the output's name."""
        kind = _KINDS[self.attribute]
        suffix = f".{self.key}" if self.key else ""
        return f"{kind.prefix}.{self.layer}{kind.ending}{suffix}"

    @property
    def past_name(self) -> str:
        """Name of the graph's input."""
        return self.name.replace("present", "past_key_values" if self.name.startswith("present.") else "past", 1)


@dataclass(frozen=True)
class _Kind:
    prefix: str
    ending: str
    growing_axis: int | None
    rank: int = 4


_KINDS = {
    "keys": _Kind("present", ".key", 2),
    "values": _Kind("present", ".value", 2),
    # What sparse attention chooses keys by.
    "indexer_keys": _Kind("present_indexer", "", 1, rank=3),
    "conv_states": _Kind("present_conv", "", None),
    "recurrent_states": _Kind("present_recurrent", "", None),
}
# Layers that drop tokens outside their window have no fixed place per token; their masks say the same.
_UNCROPPED = {
    DynamicSlidingWindowLayer: DynamicLayer,
    LinearAttentionAndSlidingWindowAttentionLayer: LinearAttentionAndFullAttentionLayer,
}


class StateTemplate:
    """A cache as transformers makes it for a model, taken apart into tensors and put together again.

    ``argument`` is the name by which the model takes it.

    Args:
        model: run once on a few tokens.

    Raises:
        RefusedError: the model keeps something that is not in its cache, or of an unknown kind.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        accepted = inspect.signature(model.forward).parameters
        self.argument = "cache_params" if "cache_params" in accepted else "past_key_values"
        self._cache = _empty_cache(model)
        tokens = torch.zeros(1, _NUM_PROBED_TOKENS, dtype=torch.long)
        with torch.no_grad():
            output = model(input_ids=tokens, use_cache=True, **{self.argument: self._cache})
        if getattr(output, self.argument, None) is not self._cache:
            raise RefusedError("it does not keep its past in the cache it is given")
        self.leaves = tuple(_leaves(self._cache))
        if not self.leaves:
            raise RefusedError("its cache holds nothing after a call")

    @property
    def is_growing(self) -> bool:
        """Whether every state has one entry per token, so that several tokens can be appended at once."""
        return all(leaf.growing_axis is not None for leaf in self.leaves)

    def assemble(self, tensors: Sequence[torch.Tensor]) -> Cache:
        """A cache that holds these tensors, in the order of ``leaves``."""
        layers = [copy.copy(layer) for layer in self._cache.layers]
        for layer in layers:
            for attribute, value in vars(layer).items():
                if isinstance(value, dict):
                    setattr(layer, attribute, dict(value))
        for leaf, tensor in zip(self.leaves, tensors, strict=True):
            layer = layers[leaf.layer]
            if leaf.key is None:
                setattr(layer, leaf.attribute, tensor)
            else:
                # Fixed-size states are written in place; an input of a graph must not be.
                getattr(layer, leaf.attribute)[leaf.key] = tensor.clone()
        return Cache(layers=layers)

    def take_apart(self, cache: Cache) -> list[torch.Tensor]:
        """The tensors of a cache that :meth:`assemble` made, in the order of ``leaves``."""
        values = [getattr(cache.layers[leaf.layer], leaf.attribute) for leaf in self.leaves]
        return [value if leaf.key is None else value[leaf.key] for leaf, value in zip(self.leaves, values, strict=True)]


def _empty_cache(model: PreTrainedModel) -> Cache:
    layers: list[Any] = DynamicCache(config=model.config).layers
    if not layers:
        return DynamicCache()
    return Cache(layers=[_uncropped(layer) for layer in layers])


def _uncropped(layer: Any) -> Any:
    kind = _UNCROPPED.get(type(layer))
    if kind is None:
        return layer
    num_states = getattr(layer, "number_of_states", None)
    return kind() if num_states is None else kind(number_of_states=num_states)


def _leaves(cache: Cache) -> Iterator[StateLeaf]:
    for index, layer in enumerate(cache.layers):
        for attribute, kind in _KINDS.items():
            value = getattr(layer, attribute, None)
            entries = value.items() if isinstance(value, dict) else [(None, value)]
            for key, tensor in entries:
                if isinstance(tensor, torch.Tensor) and tensor.dim() > 1:
                    yield StateLeaf(index, attribute, key, _checked_shape(tensor, kind), kind.growing_axis)


def _checked_shape(tensor: torch.Tensor, kind: _Kind) -> tuple[int, ...]:
    shape = list(tensor.shape)
    if kind.growing_axis is not None and (len(shape) != kind.rank or shape[kind.growing_axis] != _NUM_PROBED_TOKENS):
        raise RefusedError(f"its cache holds keys or values of shape {tuple(shape)} after {_NUM_PROBED_TOKENS} tokens")
    return tuple(0 if axis == kind.growing_axis else size for axis, size in enumerate(shape))
