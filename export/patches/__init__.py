"""Model code that cannot be traced, replaced while tracing by code that computes the same for any size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from . import (
    bit,
    canine,
    complex_rotary,
    cpmant,
    delta_rule,
    doge,
    experts,
    fsmt,
    funnel,
    gemma3n,
    granite_speech,
    longformer,
    mamba,
    moonshine,
    music_flamingo,
    qwen4_exp,
    recurrent_gemma,
    relative_positions,
    rwkv,
    shift_tokens,
    siglip2,
)
from .base import Patch, patches_in_place

__all__ = ["PATCHES", "Patch", "model_patches"]

# A new architecture is a new file and its entry here.
PATCHES: tuple[Patch, ...] = (
    *bit.PATCHES,
    *canine.PATCHES,
    *complex_rotary.PATCHES,
    *cpmant.PATCHES,
    *delta_rule.PATCHES,
    *doge.PATCHES,
    *experts.PATCHES,
    *fsmt.PATCHES,
    *funnel.PATCHES,
    *gemma3n.PATCHES,
    *granite_speech.PATCHES,
    *longformer.PATCHES,
    *mamba.PATCHES,
    *moonshine.PATCHES,
    *music_flamingo.PATCHES,
    *qwen4_exp.PATCHES,
    *recurrent_gemma.PATCHES,
    *relative_positions.PATCHES,
    *rwkv.PATCHES,
    *shift_tokens.PATCHES,
    *siglip2.PATCHES,
)


@contextmanager
def model_patches() -> Iterator[None]:
    """Replace what cannot be traced inside the block."""
    with patches_in_place(PATCHES):
        yield
