"""Model outputs read by attribute, key and index, like transformers' ModelOutput."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from numpy.typing import NDArray

_OPTIONAL_FIELDS = frozenset(
    {"loss", "logits", "hidden_states", "attentions", "past_key_values", "pooler_output", "cross_attentions"}
)


class ModelOutput(OrderedDict[str, Any]):
    """Named arrays in order.

    ``out.logits``, ``out["logits"]`` and ``out[0]`` are the same array. A field that transformers' outputs have and
    this one lacks (``out.attentions``) reads as None by attribute, as in transformers.

    >>> import numpy as np
    >>> out = ModelOutput(logits=np.zeros((2, 3)))
    >>> out.logits is out["logits"] is out[0]
    True
    """

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return super().__getitem__(name)
        if name in _OPTIONAL_FIELDS:
            return None
        raise AttributeError(f"This output has no {name!r}; it has {', '.join(self)}.")

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return super().__getitem__(key)
        return self.to_tuple()[key]

    def to_tuple(self) -> tuple[NDArray[Any], ...]:
        """The arrays in order."""
        return tuple(self.values())
