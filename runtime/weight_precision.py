"""What the weights of a graph are kept in, read from the graph: a file's name need not say it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from .onnx_file import GraphNode, StoredTensor, graph_nodes, stored_tensors

# TensorProto.DataType → the precision of weights of that type.
_BY_TYPE: Mapping[int, str] = {
    1: "fp32",
    2: "uint8",
    3: "int8",
    10: "fp16",
    11: "fp64",
    16: "bf16",
    21: "q4",
    22: "q4",
}
# Operators whose weights are packed into bytes → the attribute that says bits of each, and what it is by default.
_PACKED_BITS: Mapping[str, tuple[str, int]] = {
    "MatMulNBits": ("bits", 4),
    "GatherBlockQuantized": ("bits", 4),
    "QMoE": ("expert_weight_bits", 4),
}
# Operators that make integers of what flows through the graph: its products are computed in these.
_QUANTIZING = frozenset({"DynamicQuantizeLinear", "QuantizeLinear", "DynamicQuantizeMatMul", "QAttention"})
# Operators that look rows up: tables often stay as they are, whatever became of the layers.
_LOOKING_UP = frozenset({"Gather", "GatherBlockQuantized"})
_BYTES, _FLOAT16 = (2, 3), 10
_BNB4 = "MatMulBnb4"
# Where an operator has the scales of its weights.
_SCALES_INPUT: Mapping[str, int] = {"MatMulNBits": 2, "DequantizeLinear": 1}

_Readers = Mapping[str, list[GraphNode]]


def weight_precision(path: Path) -> str | None:
    """Precision of most of a graph's weights by the name that ``dtype=`` has for it; None without weights.

    Tables that are only looked up count where there is nothing else. ``int8`` and ``uint8`` are computed with whole
    numbers; ``q8`` and ``q4`` only keep the weights in 8 and 4 bits, ``q4f16`` with scales in half precision.

    Args:
        path: the ONNX file.

    Raises:
        CorruptArtifactError: the file is no protobuf.
    """
    nodes = graph_nodes(path)
    readers = _readers(nodes)
    tensors = {tensor.name: tensor for tensor in stored_tensors(path) if tensor.name in readers}
    weights = [
        tensor for name, tensor in tensors.items() if len(tensor.shape) > 1 or _BNB4 in _operators(readers[name])
    ]
    layers = [tensor for tensor in weights if not _operators(readers[tensor.name]) <= _LOOKING_UP]
    is_quantizing = any(node.operator in _QUANTIZING for node in nodes)
    counts: Counter[str] = Counter()
    for tensor in layers or weights:
        if tensor.data_type in _BY_TYPE:
            precision, count = _counted(tensor, readers[tensor.name], is_quantizing=is_quantizing)
            counts[precision + _of_scales(precision, readers[tensor.name], tensors)] += count
    return counts.most_common(1)[0][0] if counts else None


def _readers(nodes: Iterable[GraphNode]) -> _Readers:
    found: dict[str, list[GraphNode]] = {}
    for node in nodes:
        for name in node.inputs:
            found.setdefault(name, []).append(node)
    return found


def _operators(nodes: Iterable[GraphNode]) -> set[str]:
    return {node.operator for node in nodes}


def _counted(tensor: StoredTensor, readers: Iterable[GraphNode], *, is_quantizing: bool) -> tuple[str, int]:
    """Precision of a tensor's weights, and how many they are."""
    precision, size = _BY_TYPE[tensor.data_type], math.prod(tensor.shape)
    if tensor.data_type not in _BYTES:
        return precision, size
    packing = next((node for node in readers if node.operator in _PACKED_BITS), None)
    if packing is not None:
        bits = packing.integers.get(*_PACKED_BITS[packing.operator])
        return f"q{bits}", size * 8 // max(bits, 1)
    if _operators(readers) == {_BNB4}:
        return "bnb4", size * 2
    if _operators(readers) == {"DequantizeLinear"} and not is_quantizing:
        return "q8", size
    return precision, size


def _of_scales(precision: str, readers: Iterable[GraphNode], tensors: Mapping[str, StoredTensor]) -> str:
    """``f16`` for weights of few bits whose scales are in half precision."""
    places = [(node, _SCALES_INPUT[node.operator]) for node in readers if node.operator in _SCALES_INPUT]
    scales = [tensors.get(node.inputs[place]) for node, place in places if place < len(node.inputs)]
    has_half = any(scale is not None and scale.data_type == _FLOAT16 for scale in scales)
    return "f16" if has_half and precision in ("q1", "q2", "q4") else ""
