"""ONNX Runtime's own operators written out in those of the ONNX standard, for runtimes that have only these.

Tracing, fusing and quantizing use whatever is fastest; this is the one place that takes it back, as the last step
before a graph is written. What it cannot write out, it names.

Operator schemas: onnxruntime ``docs/ContribOperators.md``, and ONNX's ``docs/Operators.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx
import onnx_ir

from headway.runtime.errors import ExportError

from .fusions.base import CONTRIB, CONTRIB_WITHOUT_DOMAIN, replace_value
from .fusions.builder import NodeBuilder
from .precisions.linears import drop_unused
from .standard_quantized import BLOCKS_OPSET, QUANTIZED_WRITERS, padded_inputs

_MATRIX_AXES = (0, 2, 1)
# (batch, heads, seq, head_dim)
_KEYS_RANK = 4


def write_out(model: onnx_ir.Model) -> None:
    """Leave nothing but standard operators in a graph; changes in place.

    Raises:
        ExportError: an operator has no form in standard ones.
    """
    is_quantized = False
    for node in list(model.graph):
        is_contrib = node.domain == CONTRIB or node.op_type == CONTRIB_WITHOUT_DOMAIN
        write = _WRITERS.get(node.op_type) if is_contrib else None
        if write is not None:
            write(node)
            is_quantized = is_quantized or node.op_type in QUANTIZED_WRITERS
    drop_unused(model)
    if is_quantized:
        model.opset_imports[""] = max(model.opset_imports[""], BLOCKS_OPSET)
    _require_standard(model)
    for domain in [domain for domain in model.opset_imports if domain]:
        del model.opset_imports[domain]


def _require_standard(model: onnx_ir.Model) -> None:
    version = model.opset_imports[""]
    nodes = [node for graph in model.graphs() for node in graph]
    other = {f"{node.domain or 'onnxruntime'}::{node.op_type}" for node in nodes if not _is_standard(node, version)}
    if other:
        raise ExportError(
            f"compat=True asks for standard ONNX operators, and the graph has {', '.join(sorted(other))}, which this "
            "exporter cannot write out. Export it without."
        )


def _is_standard(node: onnx_ir.Node, version: int) -> bool:
    return node.domain == "" and onnx.defs.has(node.op_type, version)


def _rms_norm(node: onnx_ir.Node) -> None:
    """``x / sqrt(mean(x^2) + epsilon) * weight``, in the form that ONNX Runtime knows again."""
    states, weight = node.inputs[:2]
    replace_value(node.outputs[0], _normalised(NodeBuilder(node), states, weight, node))


def _skip_rms_norm(node: onnx_ir.Node) -> None:
    """The sum of two, and the norm of that."""
    build = NodeBuilder(node)
    total = build("Add", node.inputs[:2])
    replace_value(node.outputs[3], total)
    replace_value(node.outputs[0], _normalised(build, total, node.inputs[2], node))


def _normalised(
    build: NodeBuilder, states: onnx_ir.Value | None, weight: onnx_ir.Value | None, node: onnx_ir.Node
) -> onnx_ir.Value:
    squares = build("Pow", [states, build.number(2.0)])
    mean = build("ReduceMean", [squares, build.numbers([-1])], {"keepdims": 1})
    root = build("Sqrt", [build("Add", [mean, build.number(node.attributes["epsilon"].as_float())])])
    return build("Mul", [build("Div", [states, root]), weight])


def _fused_matmul(node: onnx_ir.Node) -> None:
    """``alpha * A @ B^T``: the exporter transposes nothing else."""
    build = NodeBuilder(node)
    left, right = node.inputs
    if _integer(node, "transB"):
        # A tied weight, whose shape is known, or keys.
        rank = len(right.shape) if right is not None and right.shape is not None else _KEYS_RANK
        right = build("Transpose", [right], {"perm": [*range(rank - 2), rank - 1, rank - 2]})
    product = build("MatMul", [left, right])
    alpha = node.attributes.get("alpha")
    if alpha is not None and alpha.as_float() != 1:
        product = build("Mul", [product, build.number(alpha.as_float())])
    replace_value(node.outputs[0], product)


def _mixture_of_experts(node: onnx_ir.Node) -> None:
    """Every expert on every token, weighted by the router: experts that were not selected have a weight of zero."""
    build = NodeBuilder(node)
    states, router, up, up_bias, down, down_bias = padded_inputs(node, 6)
    # (1, tokens, hidden) @ (experts, hidden, 2 * inner)
    tokens = build("Unsqueeze", [states, build.numbers([0])])
    projected = _expert_layer(build, tokens, up, up_bias)
    gate, linear = (_every_second(build, projected, start) for start in (0, 1))
    limit = node.attributes.get("swiglu_limit")
    if limit is not None:
        most, least = build.number(limit.as_float()), build.number(-limit.as_float())
        gate, linear = build("Min", [gate, most]), build("Clip", [linear, least, most])
    alpha, beta = (build.number(node.attributes[f"activation_{name}"].as_float()) for name in ("alpha", "beta"))
    open_share = build("Sigmoid", [build("Mul", [gate, alpha])])
    activated = build("Mul", [build("Mul", [gate, open_share]), build("Add", [linear, beta])])
    answers = _expert_layer(build, activated, down, down_bias)
    shares = build("Softmax", [router], {"axis": -1})
    # (tokens, experts) → (experts, tokens, 1)
    by_expert = build("Unsqueeze", [build("Transpose", [shares], {"perm": [1, 0]}), build.numbers([2])])
    weighted = build("Mul", [answers, by_expert])
    replace_value(node.outputs[0], build("ReduceSum", [weighted, build.numbers([0])], {"keepdims": 0}))


def _expert_layer(
    build: NodeBuilder, states: onnx_ir.Value, weight: onnx_ir.Value | None, bias: onnx_ir.Value | None
) -> onnx_ir.Value:
    """(1 or experts, tokens, in) through weights (experts, out, in) and biases (experts, out)."""
    product = build("MatMul", [states, build("Transpose", [weight], {"perm": list(_MATRIX_AXES)})])
    return product if bias is None else build("Add", [product, build("Unsqueeze", [bias, build.numbers([1])])])


def _every_second(build: NodeBuilder, states: onnx_ir.Value, start: int) -> onnx_ir.Value:
    bounds = [build.numbers([number]) for number in (start, (1 << 31) - 1, -1, 2)]
    return build("Slice", [states, *bounds])


def _integer(node: onnx_ir.Node, name: str) -> int:
    attribute = node.attributes.get(name)
    return 0 if attribute is None else int(attribute.as_int())


_WRITERS: Mapping[str, Callable[[onnx_ir.Node], None]] = {
    "FusedMatMul": _fused_matmul,
    "MoE": _mixture_of_experts,
    CONTRIB_WITHOUT_DOMAIN: _rms_norm,
    "SkipSimplifiedLayerNormalization": _skip_rms_norm,
    **QUANTIZED_WRITERS,
}
