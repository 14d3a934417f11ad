"""Weights that are the same under every version of PyTorch and transformers: drawn by numpy, by name and shape."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def seeded_weights(shapes: Mapping[str, tuple[int, ...]], seed: int, scale: float) -> dict[str, Any]:
    """Name → float32 array; layer norms near one, the rest drawn around zero."""
    weights = {}
    for name in sorted(shapes):
        generator = np.random.default_rng([seed, *name.encode()])
        drawn = generator.normal(0.0, scale, shapes[name])
        if "LayerNorm.weight" in name:
            drawn = 1.0 + drawn / 10
        weights[name] = drawn.astype(np.float32)
    return weights
