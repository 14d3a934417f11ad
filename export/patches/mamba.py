"""Mamba and its kin: a state that is carried from token to token, in a loop as long as the text."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from .base import Method, Patch
from .scanning import is_any, scan


def _selective_scan(original: Method) -> Method:
    def mamba_selective_scan(
        hidden_states: torch.Tensor,
        dt: torch.Tensor,
        A: torch.Tensor,  # noqa: N803 - called by these names
        B: torch.Tensor,  # noqa: N803
        C: torch.Tensor,  # noqa: N803
        D: torch.Tensor | None = None,  # noqa: N803
        z: torch.Tensor | None = None,
        delta_bias: torch.Tensor | None = None,
        delta_softplus: bool = False,
        return_last_state: bool = False,
        **options: Any,
    ) -> Any:
        """Hidden states and dt (batch, channels, length), A (channels, state), B and C (batch, state, length)."""
        if not is_any(hidden_states.shape[-1]):
            arguments = (hidden_states, dt, A, B, C, D, z, delta_bias, delta_softplus, return_last_state)
            return original(*arguments, **options)
        if delta_bias is not None:
            dt = dt + delta_bias.to(dt.dtype)[..., None]
        step_sizes = (functional.softplus(dt) if delta_softplus else dt).permute(2, 0, 1)  # (length, batch, channels)
        added = step_sizes * hidden_states.permute(2, 0, 1).float()
        state = torch.zeros((*hidden_states.shape[:2], A.shape[-1]), dtype=hidden_states.dtype)
        last_state, outputs = scan(_step, [state], [step_sizes, added, B.permute(2, 0, 1), C.permute(2, 0, 1)], [A])
        scanned = outputs.permute(1, 2, 0)
        if D is not None:
            scanned = scanned + hidden_states * D[None, :, None]
        if z is not None:
            scanned = scanned * functional.silu(z)
        return (scanned, last_state) if return_last_state else scanned

    return mamba_selective_scan


def _step(
    state: torch.Tensor, step_size: torch.Tensor, added: torch.Tensor, b: torch.Tensor, c: torch.Tensor, a: torch.Tensor
) -> list[torch.Tensor]:
    """One token: state (batch, channels, width), step size and addend (batch, channels), b and c (batch, width)."""
    state = torch.exp(a * step_size[..., None]) * state + added[..., None] * b[:, None].float()
    return [state, (state @ c[..., None])[..., 0]]


PATCHES = tuple(
    Patch(f"{name}.modeling_{name}", None, "mamba_selective_scan", _selective_scan)
    for name in ("falcon_mamba", "jamba", "mamba", "zamba")
)
