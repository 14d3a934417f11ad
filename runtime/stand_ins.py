"""What stands for inputs that no tokenizer gives: positions, and a past that holds nothing yet.

Graphs of other exporters declare them even where a whole text is run at once, as embedding models do that were made of
language models.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .artifact import TensorSpec
from .generation.graph_states import is_state

Array = NDArray[Any]

_POSITIONS = "position_ids"
_BRANCH = "use_cache_branch"


def can_stand_in(spec: TensorSpec) -> bool:
    """Whether an input is known that a text alone determines."""
    return spec.name in (_POSITIONS, _BRANCH) or is_state(spec.name)


def stand_in(spec: TensorSpec, attention_mask: Array) -> Array:
    """Positions counted over tokens, or a past without tokens.

    Args:
        spec: an input of which :func:`can_stand_in` holds.
        attention_mask: (batch, sequence), 1 for a token and 0 for padding.
    """
    if spec.name == _POSITIONS:
        return token_positions(attention_mask).astype(spec.dtype)
    if spec.name == _BRANCH:
        return np.zeros(1, dtype=spec.dtype)
    sizes = [axis if isinstance(axis, int) else 0 for axis in spec.shape[1:]]
    return np.zeros((len(attention_mask), *sizes), dtype=spec.dtype)


def token_positions(attention_mask: Array) -> NDArray[np.int64]:
    """Positions counted over tokens; padding has the last one before it, which is always valid."""
    return np.maximum(np.cumsum(attention_mask, axis=-1, dtype=np.int64) - 1, 0)
