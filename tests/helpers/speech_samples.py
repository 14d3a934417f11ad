"""Sounds for tests: tones that rise, with noise, so that every frame differs."""

from __future__ import annotations

import numpy as np

RATE = 16000


def tone(num_samples: int, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """(num_samples,) float32 between -1 and 1."""
    time = np.arange(num_samples) / rate
    noise = np.random.default_rng(seed).standard_normal(num_samples)
    return (0.3 * np.sin(2 * np.pi * (200 + 100 * seed + 700 * time) * time) + 0.02 * noise).astype(np.float32)
