"""Normalisations as single operators, recognised by what they compute rather than by their class name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional

from .operators import rms_norm

_EPSILON_NAMES = ("variance_epsilon", "eps", "epsilon", "norm_eps")
_ABSOLUTE_TOLERANCE = 1e-5

Formula = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]


def _rms(hidden_states: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    return hidden_states * torch.rsqrt(hidden_states.pow(2).mean(-1, keepdim=True) + epsilon) * weight


def _layer_norm(hidden_states: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    if weight.dim() == 1:
        return functional.layer_norm(hidden_states, weight.shape, weight, None, epsilon)
    return functional.layer_norm(hidden_states, weight.shape[-1:], None, None, epsilon) * weight


# kind → what the module must compute from (hidden states, weight, epsilon), the operator that does, and its weight.
_KINDS: Mapping[str, tuple[Formula, Formula, Callable[[torch.Tensor], torch.Tensor]]] = {
    "RMSNorm": (_rms, rms_norm, lambda weight: weight),
    "RMSNorm with weight + 1": (_rms, rms_norm, lambda weight: weight + 1.0),
    "LayerNorm without bias": (_layer_norm, _layer_norm, lambda weight: weight),
}


@contextmanager
def norms_as_operators(model: torch.nn.Module) -> Iterator[dict[str, int]]:
    """Run every recognised norm of the model as one operator inside the block.

    Yields:
        kind → how many modules were recognised.
    """
    recognised: dict[str, int] = {}
    patched: list[torch.nn.Module] = []
    try:
        for module in model.modules():
            kind, epsilon = _recognise(module)
            if kind is None:
                continue
            _replace_forward(module, kind, epsilon)
            patched.append(module)
            recognised[kind] = recognised.get(kind, 0) + 1
        yield recognised
    finally:
        for module in patched:
            del module.forward
            module._buffers.pop(_BUFFER, None)
            module._non_persistent_buffers_set.discard(_BUFFER)


_BUFFER = "norm_weight"


def _replace_forward(module: torch.nn.Module, kind: str, epsilon: float) -> None:
    _, operator, effective = _KINDS[kind]
    weight = module.weight
    scale = effective(weight.detach())
    if scale.data_ptr() != weight.data_ptr():
        module.register_buffer(_BUFFER, scale, persistent=False)

    def forward(hidden_states: torch.Tensor, *others: Any, **options: Any) -> torch.Tensor:
        if others or options:
            # A gate, say: only what one tensor gives was recognised.
            return type(module).forward(module, hidden_states, *others, **options)
        # Read from the module, where tracing has put a stand-in.
        buffer = module._buffers.get(_BUFFER)
        return operator(hidden_states, module.weight if buffer is None else buffer, epsilon)

    module.forward = forward


def _recognise(module: torch.nn.Module) -> tuple[str | None, float]:
    weight: Any = getattr(module, "weight", None)
    epsilon = next((getattr(module, name) for name in _EPSILON_NAMES if hasattr(module, name)), None)
    if not _is_norm_shaped(module, weight) or not isinstance(epsilon, float):
        return None, 0.0
    # Small inputs make epsilon count; distinct rows show which axis is normalised.
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, *weight.shape)
    samples = [torch.randn(shape, generator=generator) * scale for scale in (1.0, epsilon**0.5)]
    try:
        results = [module(sample) for sample in samples]
    except Exception:
        # A module that cannot be called with one tensor is no norm of this form.
        return None, 0.0
    for kind, (formula, _, effective) in _KINDS.items():
        expected = [formula(sample, effective(weight.detach()), epsilon) for sample in samples]
        if all(_close(result, reference) for result, reference in zip(results, expected, strict=True)):
            return kind, epsilon
    return None, 0.0


def _is_norm_shaped(module: torch.nn.Module, weight: object) -> bool:
    if isinstance(module, torch.nn.LayerNorm) or not isinstance(weight, torch.nn.Parameter):
        return False
    return len(list(module.parameters())) == 1 and weight.dim() in (1, 2) and not list(module.children())


def _close(result: object, reference: torch.Tensor) -> bool:
    return (
        isinstance(result, torch.Tensor)
        and result.shape == reference.shape
        and torch.allclose(result, reference, rtol=1e-4, atol=_ABSOLUTE_TOLERANCE)
    )
