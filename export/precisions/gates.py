"""Products of two branches of a network, such as what a gated feed-forward layer lets through.

Their sizes multiply: at a few tokens a few channels are a thousand times as large as at all others, which a single
scale for the tensor cannot hold (https://arxiv.org/abs/2405.14428).
"""

from __future__ import annotations

import onnx_ir

# Operators that work element by element, which an activation function may be written in.
_ELEMENTWISE = frozenset(
    {
        *("Add", "Cast", "Clip", "Div", "Erf", "Exp", "Mul", "Neg", "Pow", "Sqrt", "Sub"),
        *("Elu", "FastGelu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "QuickGelu", "Relu"),
        *("Sigmoid", "Softplus", "Swish", "Tanh"),
    }
)


def is_gated(value: onnx_ir.Value) -> bool:
    """Whether a value is the product of two values that come from different places, not of one and a function of it."""
    node = value.producer()
    if node is None or node.op_type != "Mul":
        return False
    one, other = (_origins(factor) for factor in node.inputs)
    return bool(one) and bool(other) and one.isdisjoint(other)


def _origins(value: onnx_ir.Value | None) -> set[onnx_ir.Value]:
    """What a value is computed from, element by element; constants do not count."""
    found: set[onnx_ir.Value] = set()
    waiting, seen = [value], set()
    while waiting:
        current = waiting.pop()
        if current is None or current in seen or current.const_value is not None:
            continue
        seen.add(current)
        node = current.producer()
        if node is not None and node.op_type in _ELEMENTWISE:
            waiting += node.inputs
        elif node is None or node.op_type != "Constant":
            found.add(current)
    return found
