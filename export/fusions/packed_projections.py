"""Projections of the same hidden states as one product: query, key and value; gate and up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir

from .base import CONTRIB, Fusion, add_initializer, insert_before, last_axis_slice, only_user, producer, replace_value


@dataclass
class _Projection:
    """One linear layer: a product, and the bias added to it if every projection of the group has one."""

    product: onnx_ir.Node
    weight: onnx_ir.Value
    addition: onnx_ir.Node | None
    bias: onnx_ir.Value | None

    @property
    def output(self) -> onnx_ir.Value:
        """What the rest of the graph reads."""
        return (self.addition or self.product).outputs[0]

    @property
    def width(self) -> int:
        """Columns of the weight."""
        return int(self.weight.const_value.shape.numpy()[1])  # type: ignore[union-attr]


@dataclass
class _Group:
    source: onnx_ir.Value
    projections: list[_Projection]

    @property
    def has_biases(self) -> bool:
        return all(projection.bias is not None for projection in self.projections)


class PackedProjections(Fusion[_Group]):
    """MatMul(x, A), MatMul(x, B), … → Split(MatMul(x, [A B …])), with biases where all have one."""

    name = "packed projections"
    root = "MatMul"

    def pattern(self, node: onnx_ir.Node) -> _Group | None:
        """The first of several products of one value with stored weights."""
        source = node.inputs[0]
        if source is None:
            return None
        products = [user for user, index in source.uses() if index == 0 and _has_stored_weight(user)]
        if len(products) < 2 or products[0] is not node:
            return None
        return _Group(source, [_projection(product) for product in products])

    def check(self, match: _Group) -> str | None:
        """Refuse weights that are read elsewhere: packing them would store them twice."""
        shared = [projection for projection in match.projections if len(projection.weight.uses()) > 1]
        if shared:
            return "a weight has several readers"
        dtypes = {projection.weight.dtype for projection in match.projections}
        return "the weights have several types" if len(dtypes) > 1 else None

    def rewrite(self, match: _Group) -> None:
        """One product, then a split."""
        first = match.projections[0]
        if not match.has_biases:
            match.projections = [_Projection(part.product, part.weight, None, None) for part in match.projections]
            first = match.projections[0]
        weight = _packed(first.product, [part.weight for part in match.projections], axis=1)
        nodes = [onnx_ir.node("MatMul", [match.source, weight])]
        if match.has_biases:
            bias = _packed(first.product, [part.bias for part in match.projections if part.bias is not None], axis=0)
            nodes.append(onnx_ir.node("Add", [nodes[-1].outputs[0], bias]))
        packed = nodes[-1].outputs[0]
        packed.type = first.output.type
        widths = [part.width for part in match.projections]
        sizes = onnx_ir.tensor(np.array(widths, dtype=np.int64))
        sizes_value = add_initializer(first.product, "split_" + "_".join(map(str, widths)), sizes)
        nodes.append(onnx_ir.node("Split", [packed, sizes_value], {"axis": -1}, num_outputs=len(widths)))
        insert_before(first.product, nodes)
        for part, output in zip(match.projections, nodes[-1].outputs, strict=True):
            replace_value(part.output, output)


@dataclass
class _SplitAttention:
    attention: onnx_ir.Node
    packed: onnx_ir.Value


class PackedAttentionInput(Fusion[_SplitAttention]):
    """GroupQueryAttention of the three parts of a split → of the whole, which the operator splits itself."""

    name = "packed query, key and value"
    root = "GroupQueryAttention"

    def pattern(self, node: onnx_ir.Node) -> _SplitAttention | None:
        """Attention whose first three inputs are the parts of one value, in order."""
        split = producer(node.inputs[0], "Split")
        if split is not None and list(node.inputs[:3]) == list(split.outputs) and split.inputs[0] is not None:
            return _SplitAttention(node, split.inputs[0])
        whole = _sliced_whole([producer(value, "Slice") for value in node.inputs[:3]])
        return _SplitAttention(node, whole) if whole is not None else None

    def check(self, match: _SplitAttention) -> str | None:
        """Refuse parts that something else reads."""
        parts = match.attention.inputs[:3]
        return None if all(only_user(part) is match.attention for part in parts if part) else "a part has other readers"

    def rewrite(self, match: _SplitAttention) -> None:
        """Feed the whole as the query."""
        match.attention.replace_input_with(0, match.packed)
        match.attention.replace_input_with(1, None)
        match.attention.replace_input_with(2, None)


def _sliced_whole(nodes: list[onnx_ir.Node | None]) -> onnx_ir.Value | None:
    """The value whose channels these slices take one after the other, none left out."""
    slices = [last_axis_slice(node) for node in nodes]
    position, whole = 0, slices[0].states if slices[0] is not None else None
    for part in slices:
        if part is None or part.states is not whole or part.start != position:
            return None
        position = part.end
    width = whole.shape[-1] if whole is not None and whole.shape is not None else None
    return whole if isinstance(width, int) and position >= width else None


def _has_stored_weight(node: onnx_ir.Node) -> bool:
    if node.op_type != "MatMul" or node.domain == CONTRIB:
        return False
    weight = node.inputs[1]
    tensor = weight.const_value if weight is not None and weight.is_initializer() else None
    return tensor is not None and len(tensor.shape) == 2


def _projection(product: onnx_ir.Node) -> _Projection:
    weight = product.inputs[1]
    if weight is None:
        raise ValueError("a product has no weight")
    addition = only_user(product.outputs[0])
    if addition is None or addition.op_type != "Add":
        return _Projection(product, weight, None, None)
    others = [value for value in addition.inputs if value is not product.outputs[0]]
    bias = others[0] if len(others) == 1 else None
    is_bias = bias is not None and bias.const_value is not None and len(bias.const_value.shape) == 1
    if not is_bias or bias is None or len(bias.uses()) > 1:
        return _Projection(product, weight, None, None)
    return _Projection(product, weight, addition, bias)


def _packed(anchor: onnx_ir.Node, values: list[onnx_ir.Value], axis: int) -> onnx_ir.Value:
    """The values side by side, put together while they are written."""
    tensors = [value.const_value for value in values if value.const_value is not None]
    shape = list(tensors[0].shape.numpy())
    shape[axis] = sum(int(tensor.shape.numpy()[axis]) for tensor in tensors)
    lazy = onnx_ir.LazyTensor(
        lambda: onnx_ir.tensor(np.concatenate([tensor.numpy() for tensor in tensors], axis=axis)),
        dtype=tensors[0].dtype,
        shape=onnx_ir.Shape(shape),
        name=f"{values[0].name}_packed",
    )
    return add_initializer(anchor, f"{values[0].name}_packed", lazy)
