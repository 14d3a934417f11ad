"""A recurrence over any number of steps: one ONNX Scan, where models have a loop of as many steps as they are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._higher_order_ops.scan import scan_op

Step = Callable[..., Sequence[torch.Tensor]]


def scan(
    step: Step, states: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor], constants: Sequence[torch.Tensor] = ()
) -> Any:
    """Run ``step(*states, *inputs[i], *constants)`` for every i, each on the states that the step before gave.

    Args:
        step: gives the new states, in the shapes and dtypes of the old, and then its outputs, none of them an argument.
        states: what the first step gets.
        inputs: (steps, …) each.
        constants: what every step gets; it may use no other tensors.

    Returns:
        The last states, then the outputs, (steps, …) each.
    """
    return scan_op(step, list(states), list(inputs), tuple(constants))


def is_any(size: Any) -> bool:
    """Whether a size stands for any number in what is traced; a loop over a fixed number is traced as it is."""
    return isinstance(size, torch.SymInt)
