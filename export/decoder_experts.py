"""Mixtures of experts as one operator, entered through transformers' ExpertsInterface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS, ExpertsInterface

from .operators import mixture_of_experts, rearranged_weight

INTERFACE_NAME = "headway_moe"
# Log-probability of an expert that is not selected: its softmax is zero.
_NEVER = -1e30


@dataclass(frozen=True)
class Gate:
    """What a gated expert computes between its two projections, in the operator's terms.

    Args:
        alpha, beta, limit: of ``clamp(g) * sigmoid(alpha * clamp(g)) * (clamp(l) + beta)``.
        is_interleaved: g and l take turns in the projection's output; otherwise g is its first half.
    """

    alpha: float = 1.0
    beta: float = 0.0
    limit: float | None = None
    is_interleaved: bool = False

    def __call__(self, projected: torch.Tensor) -> torch.Tensor:
        """(tokens, 2 * inner) → (tokens, inner)."""
        halves = (projected[..., ::2], projected[..., 1::2]) if self.is_interleaved else projected.chunk(2, dim=-1)
        gate, linear = halves
        if self.limit is not None:
            gate, linear = gate.clamp(max=self.limit), linear.clamp(-self.limit, self.limit)
        return gate * torch.sigmoid(self.alpha * gate) * (linear + self.beta)


@contextmanager
def experts_as_operators(model: PreTrainedModel) -> Iterator[None]:
    """Run experts through the operator inside the block, and through batched products where it does not fit."""
    config = model.config
    if not model._can_set_experts_implementation():
        yield
        return
    original = config._experts_implementation
    gates = {id(module): recognise_gate(module) for module in model.modules() if hasattr(module, "_apply_gate")}

    def experts(
        module: torch.nn.Module, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
    ) -> torch.Tensor:
        gate = gates.get(id(module))
        if gate is None:
            return ALL_EXPERTS_FUNCTIONS["batched_mm"](module, hidden_states, top_k_index, top_k_weights)
        return _through_operator(module, gate, hidden_states, top_k_index, top_k_weights)

    ExpertsInterface.register(INTERFACE_NAME, experts)
    model.set_experts_implementation(INTERFACE_NAME)
    try:
        yield
    finally:
        model.set_experts_implementation(original)
        del ExpertsInterface._global_mapping[INTERFACE_NAME]


def recognise_gate(module: torch.nn.Module) -> Gate | None:
    """The gate that computes what the module's own does on random numbers; None where the operator has none such."""
    if not module.has_gate or module.has_post_expert_norm:
        return None
    projected = 4 * torch.randn(5, 12, generator=torch.Generator().manual_seed(0))
    try:
        expected = module._apply_gate(projected)
    except Exception:
        # A gate of another shape is not this one.
        return None
    for gate in _candidate_gates(module):
        if expected.shape == (5, 6) and torch.allclose(gate(projected), expected, rtol=1e-4, atol=1e-5):
            return gate
    return None


def _candidate_gates(module: torch.nn.Module) -> Iterator[Gate]:
    alpha, limit = getattr(module, "alpha", None), getattr(module, "limit", None)
    for is_interleaved in (False, True):
        yield Gate(is_interleaved=is_interleaved)
        if isinstance(alpha, float) and isinstance(limit, (int, float)):
            yield Gate(alpha, 1.0, float(limit), is_interleaved)


def _through_operator(
    module: torch.nn.Module,
    gate: Gate,
    hidden_states: torch.Tensor,
    top_k_index: torch.Tensor,
    top_k_weights: torch.Tensor,
) -> torch.Tensor:
    """The operator, told to select the experts the model selected, with the weights the model gave them."""
    total = top_k_weights.sum(dim=-1, keepdim=True)
    # softmax(log(weights that add up to one)) gives the weights back.
    chosen = torch.log(top_k_weights / total).to(hidden_states.dtype)
    scores = torch.full((hidden_states.shape[0], module.num_experts), _NEVER, dtype=hidden_states.dtype)
    weights = _Weights(module, gate)
    output = mixture_of_experts(
        hidden_states,
        scores.scatter(1, top_k_index, chosen),
        weights.up(),
        weights.bias("gate_up_proj_bias"),
        weights.down(),
        weights.bias("down_proj_bias"),
        num_selected=top_k_index.shape[-1],
        activation_alpha=gate.alpha,
        activation_beta=gate.beta,
        swiglu_limit=gate.limit,
    )
    return output * total.to(hidden_states.dtype)


@dataclass(frozen=True)
class _Weights:
    """An experts module's weights in the operator's order."""

    module: Any
    gate: Gate

    def up(self) -> torch.Tensor:
        weight = self.module.gate_up_proj
        if self.module.is_transposed:
            weight = rearranged_weight(weight, "swapped_axes")
        return weight if self.gate.is_interleaved else rearranged_weight(weight, "interleaved_halves")

    def down(self) -> torch.Tensor:
        weight = self.module.down_proj
        return rearranged_weight(weight, "swapped_axes") if self.module.is_transposed else weight

    def bias(self, name: str) -> torch.Tensor | None:
        bias = getattr(self.module, name) if self.module.has_bias else None
        if bias is None or name == "down_proj_bias" or self.gate.is_interleaved:
            return bias
        return rearranged_weight(bias, "interleaved_halves")
